"""Start, advance and end workflows (stage.lua, workflow.lua, gather.lua, include/workflow.lua)."""

from __future__ import annotations

from collections.abc import Sequence

from ...protocol.graph import numbers_to_revoke
from ...protocol.keys import stream_name
from ...protocol.member_results import encode_member
from ...protocol.shards import node_id, node_of
from ...protocol.wire import Wire
from ..rules import phases
from ..rules.fan_in import SUCCEEDED, decision, decision_at_deadline
from ..workflow_types import FanInCounts, NewWorkflow, WorkflowCounts
from .limits import place, update_rate
from .shard import MANY, Shard
from .state import FanInState, LiveMessage, WorkflowState

__all__ = [
    "gather",
    "known",
    "look_at",
    "next_look_ms",
    "node_ended",
    "numbers_of",
    "remember_revoked",
    "start",
    "workflow",
]


def start(shard: Shard, new: NewWorkflow) -> None:
    """Accept a workflow that is not known."""
    if len(shard.workflows) >= shard.many_workflows:
        for workflow_id in list(shard.workflows):
            known(shard, workflow_id)
        shard.many_workflows = max(MANY, 2 * len(shard.workflows))
    now_ms = shard.now_ms()
    joins = [FanInState(one, one.cancels, one.succeeded) for one in new.fan_ins]
    state = WorkflowState(len(new.nodes), new.plan, now_ms, joins)
    state.fields.update((name, (b"", content)) for name, content in new.known_results)
    state.cancel = _revoked_before(shard, new.id)
    state.late = {place: now_ms + one.deadline_ms for place, one in enumerate(new.fan_ins) if one.deadline_ms}
    shard.workflows[new.id] = state
    for node in new.nodes:
        message = node.message
        live = LiveMessage(
            message.id,
            b"%d %b" % (now_ms, message.envelope),
            stream_name(message.queue, message.priority),
            phases.BLOCKED,
            limit=message.limit,
            after=node.waits_for,
            after_due_ms=message.due_ms or 0,
            after_delay_ms=message.delay_ms or 0,
            then=node.then,
            hears=message.hears,
        )
        shard.live[message.id] = live
        shard.accepted(message)
    for number in () if {"all", "all!"}.intersection(state.cancel) else range(new.heads):
        _release(shard, new.id, number, "")
    if not new.nodes:
        state.expires_ms = now_ms + shard.settings.keep_ms(success=True)
        shard.push("done", new.id)
    if state.late or state.cancel:
        shard.unfolding.add(new.id)
        shard.push("control", "unfold")


def remember_revoked(shard: Shard, workflow_id: str, part: str) -> None:
    """Note that a workflow is to be revoked if it comes."""
    now_ms, before = shard.now_ms(), shard.revoked_workflows
    for one in [one for one, (expires_ms, _) in before.items() if expires_ms <= now_ms]:
        del before[one]
    parts = _revoked_before(shard, workflow_id)
    before[workflow_id] = (now_ms + shard.settings.keep_ms(success=True), list(dict.fromkeys([*parts, part])))


def _revoked_before(shard: Shard, workflow_id: str) -> list[str]:
    """Take what was to be revoked of a workflow before it came."""
    expires_ms, parts = shard.revoked_workflows.pop(workflow_id, (0, []))
    return parts if expires_ms > shard.now_ms() else []


def known(shard: Shard, workflow_id: str) -> WorkflowState | None:
    """Return a workflow that has not expired."""
    found = shard.workflows.get(workflow_id)
    if found is not None and found.expires_ms and found.expires_ms <= shard.now_ms():
        del shard.workflows[workflow_id]
        return None
    return found


def _release(shard: Shard, workflow_id: str, number: int, skip_reason: str) -> None:
    message = shard.live.get(node_id(workflow_id, number))
    if message is None or message.phase != phases.BLOCKED:
        return
    shard.note("accepted", message.id, message.name)
    now_ms = shard.now_ms()
    due_ms = now_ms if skip_reason else max(now_ms, message.after_due_ms, now_ms + message.after_delay_ms)
    message.after, message.after_due_ms, message.after_delay_ms, message.skip_reason = "", 0, 0, skip_reason
    if due_ms > now_ms:
        shard.park(message, due_ms)
        if message.active_limit is not None:
            update_rate(shard, message.active_limit)
    else:
        message.phase = phases.QUEUED
        place(shard, message, new=True)


def node_ended(shard: Shard, message: LiveMessage, outcome: str, result: bytes, keep_ms: int) -> None:
    """Keep the result of a finished node, and let go what it was the last to be waited for.

    ``keep_ms``: for how long its record is kept.
    """
    node = node_of(message.id) if message.then else None
    state = None if node is None else known(shard, node[0])
    if node is None or state is None:
        return
    workflow_id, number = node
    succeeded = outcome in SUCCEEDED
    if message.then.startswith("g"):
        fan_in, _, place = message.then[1:].partition(".")
        _member_ended(shard, workflow_id, state, int(fan_in), place, message.id, outcome, result)
    elif message.then != "-":
        first, _, last = message.then.partition("-")
        if succeeded:
            state.fields[f"v{number}"] = (b"", result)
        for follower in range(int(first), int(last) + 1):
            _release(shard, workflow_id, follower, "" if succeeded else f"parent:{message.id}")
    state.failed += not succeeded
    state.finished += 1
    state.keep_ms = max(state.keep_ms, keep_ms)
    if state.finished == state.nodes:
        state.expires_ms = shard.now_ms() + state.keep_ms
        state.late.clear()
        state.cancel.clear()
        shard.unfolding.discard(workflow_id)
        shard.push("done", workflow_id)


def _member_ended(
    shard: Shard,
    workflow_id: str,
    state: WorkflowState,
    fan_in: int,
    place: str,
    task_id: str,
    outcome: str,
    result: bytes,
) -> None:
    join, name = state.fan_ins[fan_in], f"r{fan_in}.{place}"
    if name in state.fields:
        return
    state.fields[name] = (encode_member(task_id, outcome, b"", late=join.phase != "o"), result)
    succeeded = outcome in SUCCEEDED
    join.succeeded += succeeded
    join.failed += not succeeded
    if join.phase == "o" and join.of.last >= join.of.first:
        skip_reason = decision(join.of, join.succeeded, join.failed, task_id)
        if skip_reason is not None:
            _decide(shard, workflow_id, join, skip_reason)
    if not succeeded and join.cancels:
        _cancel(state, join, fan_in)
        shard.unfolding.add(workflow_id)
        shard.push("control", "unfold")
    if join.succeeded + join.failed == join.of.members:
        shard.push("done", workflow_id)


def _decide(shard: Shard, workflow_id: str, join: FanInState, skip_reason: str) -> None:
    join.phase = "f" if skip_reason else "r"
    for follower in range(join.of.first, join.of.last + 1):
        _release(shard, workflow_id, follower, skip_reason)


def _cancel(state: WorkflowState, join: FanInState, fan_in: int) -> None:
    """Note that a fan-in is to be revoked, if it is not being revoked already."""
    join.cancels = False
    if not {str(fan_in), f"{fan_in}!", "all", "all!"}.intersection(state.cancel):
        state.cancel.append(str(fan_in))


def look_at(shard: Shard, workflow_id: str, cancel: str = "") -> WorkflowState | None:
    """Do what is due of a workflow, and return it; the parts in its ``cancel`` are to be revoked: `numbers_of`."""
    state = known(shard, workflow_id)
    if state is None:
        if cancel:
            remember_revoked(shard, workflow_id, cancel)
        return None
    if cancel and cancel not in state.cancel and state.finished < state.nodes:
        state.cancel.append(cancel)
    now_ms = shard.now_ms()
    for fan_in, at_ms in list(state.late.items()):
        if at_ms <= now_ms:
            del state.late[fan_in]
            join = state.fan_ins[fan_in]
            if join.phase == "o" and join.succeeded + join.failed < join.of.members:
                _decide(shard, workflow_id, join, decision_at_deadline(join.of, workflow_id))
                if join.cancels:
                    _cancel(state, join, fan_in)
    return state


def next_look_ms(shard: Shard) -> int | None:
    """Return when something is due of any workflow, ms since the epoch; None: nothing is known to come."""
    states = [state for workflow_id in shard.unfolding if (state := shard.workflows.get(workflow_id)) is not None]
    times = [0 if state.cancel else min(state.late.values(), default=-1) for state in states]
    return min((at_ms for at_ms in times if at_ms >= 0), default=None)


def numbers_of(state: WorkflowState, workflow_id: str, whom: str, wire: Wire) -> list[int]:
    """Return the nodes to be revoked, in the order in which that must be done: the last first."""
    part = whom.removesuffix("!")
    if part.startswith("n"):
        return [int(part[1:])]
    return numbers_to_revoke(workflow_id, state.plan, state.nodes, part, wire)


def gather(shard: Shard, workflow_id: str, field: str) -> list[bytes]:
    """See `Store.gather`."""
    state = known(shard, workflow_id)
    if field.startswith("v"):
        return [b"" if state is None else b"".join(state.fields.get(field, ()))]
    if state is None or int(field[1:]) >= len(state.fan_ins):
        return []
    members = state.fan_ins[int(field[1:])].of.members
    return [b"".join(state.fields.get(f"{field}.{place}", ())) for place in range(members)]


def workflow(shard: Shard, workflow_id: str, fan_ins: Sequence[int] = ()) -> WorkflowCounts | None:
    """See `Store.workflow`."""
    state = known(shard, workflow_id)
    if state is None:
        return None
    joins = [state.fan_ins[number] for number in fan_ins]
    return WorkflowCounts(
        state.nodes,
        state.finished,
        state.failed,
        state.started_ms,
        state.plan,
        [
            FanInCounts(
                join.of.members,
                join.succeeded,
                join.failed,
                join.phase != "o",
                join.of.need,
                join.of.collects,
                join.of.cancels,
            )
            for join in joins
        ],
    )
