"""Start, advance, read and revoke workflows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import batched, islice, takewhile
from typing import Any, Final

from ....exceptions import StoreError
from ....protocol.durability import MEMORY
from ....protocol.graph import numbers_to_revoke
from ....protocol.heard import ZEROS
from ....protocol.keys import Keys, stream_name
from ....protocol.shards import node_id, node_of
from ....settings import StoreSettings
from ...rules import fan_in as fan_in_rules
from ...workflow_types import FanIn, FanInCounts, KnownResult, NewWorkflow, Node, WorkflowCounts
from ..batches import MOST, MOST_BYTES, batches, chunks
from ..scripts import Call, script
from ..shards import Operation, Request, Shard, Shards
from .durable import durable_calls, strongest
from .revoke import revoke_on

__all__ = [
    "STAGING_MS",
    "advance",
    "gather",
    "gather_call",
    "is_over",
    "revoke_workflow",
    "stage_call",
    "start_workflow",
    "unfold",
    "unfold_call",
    "unfolding_call",
    "workflow",
    "workflow_call",
]

STAGING_MS: Final = 300_000
"""Staged nodes are deleted if their workflow has not gone live this long after the last of them came."""

RESERVED_MS: Final = 5_000
"""For this long a workflow is left to the caller that advances it."""

CALLS_AT_ONCE: Final = 20
MOST_WORKFLOWS: Final = 20
MOST_STREAMS: Final = 64
MOST_FAN_INS: Final = 1000
"""How many fan-ins one call asks for."""

_UNKNOWN, _STAGED, _LIVE = range(3)
_THROWN = 0


def stage_call(
    keys: Keys,
    new: NewWorkflow,
    nodes: Sequence[Node],
    fan_ins: Sequence[tuple[int, FanIn]],
    known_results: Sequence[KnownResult],
    *,
    first: bool,
) -> Call:
    """Build stage: some nodes of a workflow, some of its fan-ins and known results; ``first``: with its plan."""
    words: list[Any] = []
    for number, join in fan_ins:
        words += (number, join.members, join.need, "C" if join.collects else "F", "y" if join.cancels else "n")
        words += (join.first, join.last, join.deadline_ms, join.succeeded)
    words += (new.plan if first else "", len(known_results))
    for one in known_results:
        words += one
    for node in nodes:
        message = node.message
        found = node_of(message.id)
        assert found is not None
        words += (found[1], stream_name(message.queue, message.priority), _marks(node))
        words += (ZEROS[message.hears], message.envelope)
    return script("stage").call(
        keys,
        workflow=keys.workflow(new.id),
        id=new.id,
        staging_ms=STAGING_MS,
        nodes=len(new.nodes),
        heads=new.heads,
        fan_in_count=len(fan_ins),
        more_args=words,
    )


def _marks(node: Node) -> str:
    message = node.message
    words = [f" w={node.then}"]
    if node.waits_for:
        words.append(f" a={node.waits_for}")
    if message.due_ms is not None:
        words.append(f" d={message.due_ms}")
    elif message.delay_ms:
        words.append(f" i={message.delay_ms}")
    if message.limit is not None:
        words.append(f" l={message.limit.interval_us},{message.limit.burst},{message.limit.name}")
    return "".join(words)


def unfold_call(
    keys: Keys, workflow_id: str, names: Sequence[str], settings: StoreSettings, verb: str = "go", whom: str = ""
) -> Call:
    """Build unfold; ``names``: streams that the caller knows of."""
    return script("unfold").call(
        keys,
        workflow=keys.workflow(workflow_id),
        id=workflow_id,
        verb=verb,
        whom=whom,
        mine_ms=RESERVED_MS,
        keep_ms=settings.keep_ms(success=True),
        events_kept=settings.events_kept,
        streams=names,
    )


def gather_call(keys: Keys, workflow_id: str, field: str, place: int) -> Call:
    """Build gather: a part of the results in a field, from a place on."""
    return script("gather").call(
        keys, workflow=keys.workflow(workflow_id), field=field, place=place, most_bytes=MOST_BYTES
    )


def workflow_call(keys: Keys, workflow_id: str, fan_ins: Sequence[int]) -> Call:
    """Build workflow, with the counts of these fan-ins."""
    return script("workflow").call(keys, workflow=keys.workflow(workflow_id), more_args=fan_ins)


def unfolding_call(keys: Keys, most: int) -> Call:
    """Build unfolding: workflows of which something is due, and when the next one is."""
    return script("unfolding").call(keys, most=most)


def start_workflow(shards: Shards, new: NewWorkflow, retry_time_s: float | None = None) -> Operation[bool]:
    """See `Store.start_workflow`: stage it in bounded calls, make it live in one, let its first nodes go in steps."""
    shard = shards.of(new.id)
    names = dict.fromkeys(stream_name(node.message.queue, node.message.priority) for node in new.nodes[: new.heads])
    fresh = False
    if retry_time_s is None:
        retry_time_s = shards.settings.enqueue_retry_s
    for requests in batched(_staging(shard, new), CALLS_AT_ONCE):
        replies = yield Request(list(requests), retry_time_s)
        if any(reply[1] == _THROWN for reply in replies):
            raise StoreError(f"Workflow {new.id} was not completed in time and is being thrown away; start it anew.")
        fresh = all(reply[1] == 1 for reply in replies)
    code = yield from advance(shards, new.id, list(names), "live", retry_time_s=retry_time_s)
    if code != _LIVE:
        raise StoreError(f"Workflow {new.id} was not completed in time and has been thrown away; start it anew.")
    level = strongest({node.message.durability for node in new.nodes}, shards.settings)
    if level != MEMORY:
        # Once more, which changes nothing: it shows that what is waited for is there, on this very connection.
        call = unfold_call(shard.keys, new.id, [], shards.settings, "live")
        [reply] = (yield from durable_calls(shards, [call], level, retry_time_s, [new.id], "workflow"))[-1]
        if reply[1] != _LIVE:
            raise StoreError(f"Workflow {new.id} was lost while it was waited for; start it anew.")
    return fresh


def _staging(shard: Shard, new: NewWorkflow) -> Iterable[Call]:
    keys = shard.keys
    joins = list(batched(enumerate(new.fan_ins), MOST))
    known_results = list(batches(new.known_results, lambda one: len(one.content)))
    nodes = list(batches(new.nodes, lambda node: len(node.message.envelope)))
    for turn in range(max(1, len(joins), len(known_results), len(nodes))):
        yield stage_call(
            keys,
            new,
            nodes[turn] if turn < len(nodes) else (),
            joins[turn] if turn < len(joins) else (),
            known_results[turn] if turn < len(known_results) else (),
            first=turn == 0,
        )


def advance(
    shards: Shards,
    workflow_id: str,
    names: Sequence[str] = (),
    verb: str = "go",
    whom: str = "",
    retry_time_s: float | None = None,
) -> Operation[int]:
    """Advance a workflow as far as it can go now, in bounded steps; return the reply to unfold."""
    shard = shards.of(workflow_id)
    known = list(dict.fromkeys([*names, *shard.names]))[:MOST_STREAMS]
    while True:
        call = unfold_call(shard.keys, workflow_id, known, shards.settings, verb, whom)
        [reply] = yield Request([call], retry_time_s)
        verb, whom = "go", ""
        if reply[3]:
            whom = _next_of(reply[3].decode().splitlines())
            yield from _revoke_nodes(shards, workflow_id, whom)
            verb = "canceled"
        elif not reply[2]:
            code: int = reply[1]
            return code


def unfold(shards: Shards, tag: str) -> Operation[int | None]:
    """See `SupervisorStore.unfold`."""
    shard = shards.by_tag[tag]
    while True:
        [reply] = yield [unfolding_call(shard.keys, MOST_WORKFLOWS)]
        for workflow_id in reply[2:]:
            yield from advance(shards, workflow_id.decode())
        if len(reply) == 2:
            return reply[1] if reply[1] >= 0 else None


def revoke_workflow(
    shards: Shards, workflow_id: str, fan_in: int | None = None, *, terminate: bool = False
) -> Operation[bool]:
    """See `Store.revoke_workflow`."""
    whom = "all" if fan_in is None else str(fan_in)
    over = yield from is_over(shards, workflow_id, fan_in, failure=False)
    # Also if it is: what leads to a nested group that went on with a quorum may still run.
    code = yield from advance(shards, workflow_id, (), "cancel", f"{whom}!" if terminate else whom)
    return code == _LIVE and not over


def is_over(shards: Shards, workflow_id: str, fan_in: int | None, *, failure: bool) -> Operation[bool]:
    """Return whether a fan-in is over, or None: the whole workflow; see `Store.wait_workflow`."""
    counts = yield from workflow(shards, workflow_id, () if fan_in is None else (fan_in,))
    return fan_in_rules.is_over(counts, fan_in, failure=failure)


def _next_of(lines: Sequence[str]) -> str:
    """Return whom to revoke next, of what unfold.lua answers: one part, or the lines of up to 100 nodes."""
    first = lines[0]
    if not first.startswith("n"):
        return first
    alike = takewhile(lambda line: line[0] == "n" and line.endswith("!") == first.endswith("!"), lines)
    return "\n".join(islice(alike, MOST))


def _revoke_nodes(shards: Shards, workflow_id: str, whom: str) -> Operation[None]:
    """Revoke the nodes of a part."""
    if whom.startswith("n"):
        ids = [node_id(workflow_id, int(one.strip("n!"))) for one in whom.splitlines()]
    else:
        found = yield from workflow(shards, workflow_id, ())
        if found is None:
            return
        part = whom.removesuffix("!")
        numbers = numbers_to_revoke(workflow_id, found.plan, found.nodes, part, shards.settings.wire)
        ids = [node_id(workflow_id, number) for number in numbers]
    yield from revoke_on(shards.of(workflow_id), shards.settings, ids, terminate=whom.endswith("!"))


def workflow(shards: Shards, workflow_id: str, fan_ins: Sequence[int] = ()) -> Operation[WorkflowCounts | None]:
    """See `Store.workflow`."""
    keys = shards.of(workflow_id).keys
    replies = yield [workflow_call(keys, workflow_id, some) for some in list(chunks(fan_ins, MOST_FAN_INS)) or [[]]]
    if not all(replies):
        return None
    nodes, finished, failed, started, plan = replies[0][:5]
    joins = [join for reply in replies for join in reply[5:]]
    return WorkflowCounts(int(nodes), int(finished), int(failed), int(started), plan, list(map(_fan_in, joins)))


def _fan_in(text: bytes) -> FanInCounts:
    if not text:
        return FanInCounts(0, 0, 0, False, 0, False, False)
    members, need, collects, cancels, _, _, succeeded, failed, phase = text.decode().split(" ")
    return FanInCounts(
        int(members), int(succeeded), int(failed), phase != "o", int(need), collects == "C", cancels != "n"
    )


def gather(shards: Shards, workflow_id: str, field: str) -> Operation[list[bytes]]:
    """See `Store.gather`."""
    keys = shards.of(workflow_id).keys
    found: list[bytes] = []
    while True:
        [reply] = yield [gather_call(keys, workflow_id, field, len(found))]
        found += reply[1:]
        if len(found) >= reply[0]:
            return found
