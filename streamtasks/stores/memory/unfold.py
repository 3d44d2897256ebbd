"""Advance workflows at their deadlines, and revoke parts of them (unfold.lua)."""

from __future__ import annotations

from ...protocol.shards import node_id
from ..rules.fan_in import is_over
from . import workflows
from .revoke import revoke
from .shard import Shard

__all__ = ["advance", "revoke_workflow", "unfold"]


def advance(shard: Shard, workflow_id: str, cancel: str = "") -> None:
    """Do what a workflow has left to do; ``cancel``: a part of it that is to be revoked as well."""
    state = workflows.look_at(shard, workflow_id, cancel)
    while state is not None and state.cancel:
        part = state.cancel[0]
        for number in workflows.numbers_of(state, workflow_id, part, shard.settings.wire):
            revoke(shard, node_id(workflow_id, number), terminate=part.endswith("!"))
        if part in state.cancel:  # not if all of it is finished now
            state.cancel.remove(part)
    if state is None or not state.late:
        shard.unfolding.discard(workflow_id)


def unfold(shard: Shard) -> int | None:
    """Do what all workflows have left to do; return ms until there is more, None if nothing is known to come."""
    for workflow_id in sorted(shard.unfolding):
        advance(shard, workflow_id)
    at_ms = workflows.next_look_ms(shard)
    return None if at_ms is None else max(0, at_ms - shard.now_ms())


def revoke_workflow(shard: Shard, workflow_id: str, fan_in: int | None = None, *, terminate: bool = False) -> bool:
    """Revoke all that is not finished of a workflow, or what ends with a fan-in; False: there is nothing."""
    counts = workflows.workflow(shard, workflow_id, () if fan_in is None else (fan_in,))
    part = "all" if fan_in is None else str(fan_in)
    advance(shard, workflow_id, f"{part}!" if terminate else part)
    return not is_over(counts, fan_in, failure=False)
