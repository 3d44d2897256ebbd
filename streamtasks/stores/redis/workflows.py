"""Operations on workflows: start one whole, go on with it, read it, revoke it; see `operations`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import batched
from typing import Final

from ...exceptions import StoreError
from ...protocol.graph import Graph
from ...protocol.keys import stream_name
from ..types import FanInCounts, NewWorkflow, WorkflowCounts
from . import calls, workflow_calls
from .batches import MOST, batches
from .calls import Call
from .operations import Operation, Operations, Shard

__all__ = ["cancel", "counts", "gather", "is_over", "start", "unfold", "unfold_due"]

_UNKNOWN, _STAGED, _LIVE = range(3)
_THROWN = 0
CALLS_AT_ONCE: Final = 20
MOST_WORKFLOWS: Final = 20
MOST_STREAMS: Final = 64
_STREAM_WANTED: Final = 4


def start(operations: Operations, new: NewWorkflow) -> Operation[bool]:
    """See `Store.start_workflow`: stage it in bounded calls, make it live in one, let its first nodes go in steps."""
    shard = operations.shards[operations.tag_of(new.id)]
    names = dict.fromkeys(stream_name(node.message.queue, node.message.priority) for node in new.nodes[: new.heads])
    fresh = False
    for requests in batched(_staging(shard, new), CALLS_AT_ONCE):
        replies = yield list(requests)
        if any(reply[1] == _THROWN for reply in replies):
            raise StoreError(f"Workflow {new.id} was not completed in time and is being thrown away; start it anew.")
        fresh = all(reply[1] == 1 for reply in replies)
    code = yield from unfold(operations, new.id, list(names), "live")
    if code != _LIVE:
        raise StoreError(f"Workflow {new.id} was not completed in time and has been thrown away; start it anew.")
    return fresh


def _staging(shard: Shard, new: NewWorkflow) -> Iterable[Call]:
    keys = shard.keys
    joins = list(batched(enumerate(new.fan_ins), MOST))
    given = list(batches(new.given, lambda one: len(one.content)))
    nodes = list(batches(new.nodes, lambda node: len(node.message.envelope)))
    for turn in range(max(1, len(joins), len(given), len(nodes))):
        yield workflow_calls.stage(
            keys,
            new,
            nodes[turn] if turn < len(nodes) else (),
            joins[turn] if turn < len(joins) else (),
            given[turn] if turn < len(given) else (),
            first=turn == 0,
        )


def unfold(
    operations: Operations, workflow_id: str, names: Sequence[str] = (), verb: str = "go", whom: str = ""
) -> Operation[int]:
    """Do all that a workflow has to do now, in bounded steps; return what unfold.lua answers of it."""
    shard = operations.shards[operations.tag_of(workflow_id)]
    known = list(dict.fromkeys([*names, *shard.names]))[:MOST_STREAMS]
    while True:
        call = workflow_calls.unfold(shard.keys, workflow_id, known, operations.settings, verb, whom)
        [reply] = yield [call]
        verb, whom = "go", ""
        if reply[3]:
            whom = reply[3].decode().split("\n")[0]
            yield from _revoke_nodes(operations, workflow_id, whom)
            verb = "canceled"
        elif not reply[2]:
            code: int = reply[1]
            return code


def unfold_due(operations: Operations, tag: str) -> Operation[int | None]:
    """See `SupervisorStore.unfold`."""
    shard = operations.shards[tag]
    while True:
        [reply] = yield [workflow_calls.unfolding(shard.keys, MOST_WORKFLOWS)]
        for workflow_id in reply[2:]:
            yield from unfold(operations, workflow_id.decode())
        if len(reply) == 2:
            return reply[1] if reply[1] >= 0 else None


def cancel(operations: Operations, workflow_id: str, fan_in: int | None, *, terminate: bool) -> Operation[bool]:
    """See `Store.revoke_workflow`."""
    whom = "all" if fan_in is None else str(fan_in)
    over = yield from is_over(operations, workflow_id, fan_in, failure=False)
    # Also if it is: what leads to a nested group that went on with a quorum may still run.
    code = yield from unfold(operations, workflow_id, (), "cancel", f"{whom}!" if terminate else whom)
    return code == _LIVE and not over


def is_over(operations: Operations, workflow_id: str, fan_in: int | None, *, failure: bool) -> Operation[bool]:
    """Tell whether a fan-in is, or None: all of a workflow; see `Store.wait_workflow`."""
    found = yield from counts(operations, workflow_id, () if fan_in is None else (fan_in,))
    if found is None:
        return True
    if fan_in is None:
        return found.finished >= found.nodes
    join = found.fan_ins[0]
    return join.succeeded + join.failed >= join.members or (failure and join.failed > 0)


def _revoke_nodes(operations: Operations, workflow_id: str, whom: str) -> Operation[None]:
    """Revoke nodes, the last ones first, so that none of them goes on meanwhile."""
    found = yield from counts(operations, workflow_id, ())
    if found is None:
        return
    graph = Graph.decode(workflow_id, found.plan)
    part, terminate = whom.removesuffix("!"), whom.endswith("!")
    numbers = range(found.nodes) if part == "all" else graph.fan_ins[int(part)].inside
    shard, settings = operations.shards[operations.tag_of(workflow_id)], operations.settings
    for some in batched(sorted(numbers, reverse=True), MOST):
        names = dict.fromkeys((graph.id_of(number) for number in some), "")
        while names:
            replies = yield [
                calls.revoke(shard.keys, task_id, shard.hour(), settings, name, terminate=terminate)
                for task_id, name in names.items()
            ]
            left: dict[str, str] = {}
            for (task_id, name), reply in zip(names.items(), replies, strict=True):
                if reply[0] == b"hour":
                    shard.learn_clock(reply[1])
                    left[task_id] = name
                elif reply[1] == _STREAM_WANTED and reply[2]:
                    left[task_id] = reply[2].decode()
            names = left


def counts(operations: Operations, workflow_id: str, fan_ins: Sequence[int]) -> Operation[WorkflowCounts | None]:
    """See `Store.workflow`."""
    keys = operations.shards[operations.tag_of(workflow_id)].keys
    [reply] = yield [workflow_calls.workflow(keys, workflow_id, fan_ins)]
    if not reply:
        return None
    nodes, finished, failed, started, plan, *joins = reply
    return WorkflowCounts(int(nodes), int(finished), int(failed), int(started), plan, list(map(_fan_in, joins)))


def _fan_in(text: bytes) -> FanInCounts:
    if not text:
        return FanInCounts(0, 0, 0, False, 0, False, False)
    members, need, collects, cancels, _, _, succeeded, failed, phase = text.decode().split(" ")
    return FanInCounts(
        int(members), int(succeeded), int(failed), phase != "o", int(need), collects == "C", cancels != "n"
    )


def gather(operations: Operations, workflow_id: str, field: str) -> Operation[list[bytes]]:
    """See `Store.gather`."""
    keys = operations.shards[operations.tag_of(workflow_id)].keys
    found: list[bytes] = []
    while True:
        [reply] = yield [workflow_calls.gather(keys, workflow_id, field, len(found))]
        found += reply[1:]
        if len(found) >= reply[0]:
            return found
