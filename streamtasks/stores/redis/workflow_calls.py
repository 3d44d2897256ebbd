"""Calls of the scripts that write, move and read workflows; see `calls`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ...protocol.keys import Keys, stream_name
from ...protocol.shards import node_of
from ...settings import StoreSettings
from ..types import FanIn, Given, NewWorkflow, Node
from .calls import MOST_BYTES, Call, pairs, script

__all__ = ["STAGING_MS", "gather", "stage", "unfold", "workflow"]

STAGING_MS: Final = 300_000
"""What was staged goes if it has not become live so long after the last of it came."""

MINE_MS: Final = 5_000
"""So long whoever unfolds a workflow is left alone with it."""


def stage(
    keys: Keys,
    new: NewWorkflow,
    nodes: Sequence[Node],
    fan_ins: Sequence[tuple[int, FanIn]],
    given: Sequence[Given],
    *,
    first: bool,
) -> Call:
    """Build stage: some nodes of a workflow, some of its fan-ins and known results; ``first``: with its plan."""
    words: list[Any] = [new.id, STAGING_MS, len(new.nodes), new.heads, len(fan_ins)]
    for number, join in fan_ins:
        words += (number, join.members, join.need, "C" if join.collects else "F", "y" if join.cancels else "n")
        words += (join.first, join.last, join.deadline_ms, join.succeeded)
    words += (new.plan if first else "", len(given))
    for one in given:
        words += one
    for node in nodes:
        message = node.message
        found = node_of(message.id)
        assert found is not None
        words += (found[1], stream_name(message.queue, message.priority), _marks(node), message.envelope)
    return Call(script("stage"), [keys.workflow(new.id), keys.messages, keys.state, keys.unfolding], words)


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


def unfold(
    keys: Keys, workflow_id: str, names: Sequence[str], settings: StoreSettings, verb: str = "go", whom: str = ""
) -> Call:
    """Build unfold; ``names``: streams that the caller knows of."""
    return Call(
        script("unfold"),
        [
            keys.workflow(workflow_id),
            keys.messages,
            keys.state,
            keys.delayed,
            keys.ready,
            keys.streams,
            keys.wake,
            keys.control,
            keys.waiting,
            keys.limits,
            keys.asking,
            keys.unfolding,
            keys.done,
            keys.events,
            *pairs(keys, names),
        ],
        [workflow_id, verb, whom, MINE_MS, settings.keep_ms(success=True), settings.events_kept, len(names), *names],
    )


def gather(keys: Keys, workflow_id: str, field: str, place: int) -> Call:
    """Build gather: a part of what a field holds, from a place on."""
    return Call(script("gather"), [keys.workflow(workflow_id)], [field, place, MOST_BYTES])


def workflow(keys: Keys, workflow_id: str, fan_ins: Sequence[int]) -> Call:
    """Build workflow, with the counts of these fan-ins."""
    return Call(script("workflow"), [keys.workflow(workflow_id)], list(fan_ins))


def unfolding(keys: Keys, most: int) -> Call:
    """Build unfolding: workflows of which something is due, and when the next one is."""
    return Call(script("unfolding"), [keys.unfolding], [most])
