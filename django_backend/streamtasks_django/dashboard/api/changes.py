"""What the API changes: each with a role and a reason, noted in the audit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streamtasks.exceptions import InvalidTask, TaskNotFound
from streamtasks.operations import bulk as bulks
from streamtasks.operations import control, inspect, schedule_control, workflow_control
from streamtasks.protocol.state import DeadLetter
from streamtasks.schedules.rules import rule_of, zone_name

from ..access import ADMINISTER, OPERATE
from .fields import FILTER, Field
from .operation import Call, change
from .reads import task_filter
from .schemas import named
from .values import bulk_value, schedule_value

__all__: list[str] = []

_QUEUE: Final = Field("queue", "string", "The queue.", is_required=True, least=1, most=128)
_PAUSED: Final = (
    Field("queue", "string", "The queue.", default="", most=128),
    Field("task", "string", "The name of a task, in all queues, in place of a queue.", default="", most=200),
    Field("everything", "boolean", "All queues, in place of one.", default=False),
)
_KEY: Final = Field("key", "string", "The key of the dead letter.", is_required=True, least=1, most=200)
_NAME: Final = Field("name", "string", "The name of the schedule.", is_required=True, least=1, most=128)
_WORKER: Final = Field("worker", "string", "The name of the worker.", is_required=True, least=1, most=256)
_CHANGES: Final = (
    Field("args", "array", "Positional arguments in place of its own."),
    Field("kwargs", "object", "Keyword arguments in place of its own."),
    Field("queue", "string", "A queue in place of its own."),
    Field("priority", "integer", "A priority in place of its own.", least=-100, most=100),
)
_DEFINITION: Final = (
    Field("args", "array", "Positional arguments of each call."),
    Field("kwargs", "object", "Keyword arguments of each call."),
    Field("options", "object", "Options of each call: queue, priority, ..."),
    Field("cron", "string", "Five fields: minute, hour, day of month, month, day of week."),
    Field("tz", "string", "The time zone of cron, such as Europe/Berlin."),
    Field("every_s", "number", "In place of cron: an interval, seconds."),
    Field("misfire", "string", "Which late occurrences are fired.", choices=("one", "skip", "all")),
    Field("misfire_bound_s", "number", "An occurrence that is older, seconds, is not fired.", least=0),
)


# -- tasks ---------------------------------------------------------------------------------------------


@change("tasks/{task_id}/retry", OPERATE, named("Enqueued"), status=201)
def retry(call: Call, task_id: str) -> Any:
    """Enqueue a task that has ended without success once more, as a new task."""
    return {"id": control.retry(call.owner, task_id, **call.by)}


@change(
    "tasks/{task_id}/revoke",
    OPERATE,
    named("Revoked"),
    Field("terminate", "boolean", "Also interrupt it if it runs.", default=False),
)
def revoke(call: Call, task_id: str) -> Any:
    """End a task before it finishes; `unknown`: one that is enqueued with this id later is revoked then."""
    [outcome] = control.revoke(call.owner, [task_id], terminate=call.given["terminate"], **call.by)
    return {"outcome": outcome.name.lower()}


@change(
    "workflows/{workflow_id}/revoke",
    OPERATE,
    named("Done"),
    Field("terminate", "boolean", "Also interrupt those that run.", default=False),
)
def workflow_revoke(call: Call, workflow_id: str) -> Any:
    """Revoke all tasks of a workflow that are not finished."""
    terminate = call.given["terminate"]
    return {"is_changed": workflow_control.revoke(call.owner, workflow_id, terminate=terminate, **call.by)}


@change("workflows/{workflow_id}/retry", OPERATE, named("Enqueued"), status=201)
def workflow_retry(call: Call, workflow_id: str) -> Any:
    """Run what has not succeeded of a finished workflow again; the id is that of the new workflow."""
    return {"id": workflow_control.retry_failed(call.owner, workflow_id, **call.by)}


# -- queues --------------------------------------------------------------------------------------------


def _paused(call: Call) -> tuple[str, str]:
    """Return the queue and the task that are meant; both empty: everything."""
    queue, task = call.given["queue"], call.given["task"]
    if [bool(queue), bool(task), call.given["everything"]].count(True) != 1:
        raise InvalidTask("Name a queue, or a task, or say that everything is meant.")
    return queue, task


@change("queues/pause", ADMINISTER, named("Done"), *_PAUSED)
def pause(call: Call) -> Any:
    """Let nothing more be claimed of a queue, of a task, or at all, until it is resumed."""
    queue, task = _paused(call)
    return {"is_changed": control.pause(call.owner, queue, task=task, **call.by)}


@change("queues/resume", ADMINISTER, named("Done"), *_PAUSED)
def resume(call: Call) -> Any:
    """End a pause."""
    queue, task = _paused(call)
    return {"is_changed": control.resume(call.owner, queue, task=task, **call.by)}


@change("queues/forget", ADMINISTER, named("Done"), _QUEUE)
def forget(call: Call) -> Any:
    """Let an empty queue leave the lists."""
    return {"is_changed": control.forget(call.owner, call.given["queue"], **call.by)}


@change("queues/purge", ADMINISTER, named("Count"), _QUEUE)
def purge(call: Call) -> Any:
    """Revoke what waits in a queue now; of many tasks, plan a bulk operation instead."""
    return {"count": control.purge(call.owner, call.given["queue"], **call.by)}


# -- workers -------------------------------------------------------------------------------------------


def _request(call: Call, request: str) -> Any:
    if not control.request_worker(call.owner, call.given["worker"], request, **call.by):
        raise TaskNotFound(f"No worker {call.given['worker']} is registered.")
    return {"is_changed": True}


@change("workers/drain", ADMINISTER, named("Done"), _WORKER)
def drain(call: Call) -> Any:
    """Let a worker claim nothing more; it stays."""
    return _request(call, "drain")


@change("workers/stop", ADMINISTER, named("Done"), _WORKER)
def stop(call: Call) -> Any:
    """Stop a worker; running tasks get its grace period."""
    return _request(call, "stop")


# -- dead letters --------------------------------------------------------------------------------------


def _letter(call: Call, key: str) -> DeadLetter:
    found = inspect.dead_letter_at(call.store, key)
    if found is None:
        raise TaskNotFound(f"There is no dead letter {key}: somebody has replayed or discarded it.")
    return found


@change("dead-letters/replay", OPERATE, named("Enqueued"), _KEY, *_CHANGES, status=201)
def replay(call: Call) -> Any:
    """Enqueue the call of a dead letter again as a new task, perhaps with other arguments, and discard the letter."""
    letter = _letter(call, call.given["key"])
    return {"id": control.replay(call.owner, letter, **_changes(call), **call.by)}


def _changes(call: Call) -> dict[str, Any]:
    return {field.name: call.given[field.name] for field in _CHANGES if field.name in call.given}


@change("dead-letters/discard", OPERATE, named("Count"), _KEY)
def discard(call: Call) -> Any:
    """Delete a dead letter; its call is lost then."""
    return {"count": control.discard(call.owner, [_letter(call, call.given["key"])], **call.by)}


# -- bulk operations -----------------------------------------------------------------------------------


@change(
    "bulk",
    OPERATE,
    named("Bulk"),
    Field("operation", "string", "What to do.", is_required=True, choices=tuple(bulks.OPERATIONS)),
    FILTER,
    Field("changes", "object", "Of new tasks, for replay: args, kwargs, queue, priority."),
    status=201,
)
def plan(call: Call) -> Any:
    """Let a worker collect what an operation is about, and count it exactly; nothing is changed before it is applied.

    Its state becomes PLANNED then.
    """
    given = call.given
    where, changes = task_filter(call, bulks.OPERATIONS[given["operation"]][0]), given.get("changes")
    return bulk_value(bulks.request(call.owner, given["operation"], where, changes=changes, **call.by), call.roles)


@change(
    "bulk/{bulk_id}/apply",
    OPERATE,
    named("Bulk"),
    Field("rate", "number", "So many a second at most; 0: as many as there may be.", default=0, least=0),
)
def bulk_apply(call: Call, bulk_id: str) -> Any:
    """Let workers apply a plan, or go on with what was aborted."""
    return bulk_value(bulks.apply(call.owner, bulk_id, rate=call.given["rate"], **call.by), call.roles)


@change("bulk/{bulk_id}/abort", OPERATE, named("Bulk"))
def bulk_abort(call: Call, bulk_id: str) -> Any:
    """Stop a bulk operation; what has been done stays."""
    return bulk_value(bulks.abort(call.owner, bulk_id, **call.by), call.roles)


@change("bulk/{bulk_id}/undo", OPERATE, named("Bulk"))
def bulk_undo(call: Call, bulk_id: str) -> Any:
    """Let workers put dead letters back that were discarded less than an hour ago."""
    return bulk_value(bulks.undo(call.owner, bulk_id, **call.by), call.roles)


# -- schedules -----------------------------------------------------------------------------------------


def _definition(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a request by the names of `Schedules.create`."""
    cron, every_s, zone = given.get("cron"), given.get("every_s"), given.get("tz")
    if cron is not None and every_s is not None:
        raise InvalidTask("Give cron or every_s, not both.")
    if zone is not None and cron is None:
        raise InvalidTask("tz is for cron.")
    found = {name: given[name] for name in ("args", "kwargs", "misfire") if name in given}
    if "misfire_bound_s" in given:
        found["misfire_bound"] = given["misfire_bound_s"]
    if cron is not None:
        found["schedule"] = cron if zone is None else rule_of(cron).in_zone(zone_name(zone))
    elif every_s is not None:
        found["schedule"] = every_s
    twice = found.keys() & (given.get("options") or {}).keys()
    if twice:
        raise InvalidTask(f"options name {', '.join(sorted(twice))}, which have a place of their own.")
    return {**found, **(given.get("options") or {})}


@change(
    "schedules",
    ADMINISTER,
    named("Schedule"),
    _NAME,
    Field("task", "string", "The name of the task.", is_required=True, least=1),
    *_DEFINITION,
    Field("is_paused", "boolean", "Create it paused.", default=False),
    status=201,
)
def schedule_create(call: Call) -> Any:
    """Create a schedule."""
    given, values = call.given, _definition(call.given)
    if "schedule" not in values:
        raise InvalidTask("Give cron or every_s.")
    values |= {"task": given["task"], "paused": given["is_paused"]}
    made = schedule_control.create(call.backend.schedules, given["name"], **values, **call.by)
    return schedule_value(made, call.roles)


@change("schedules/one", ADMINISTER, named("Schedule"), _NAME, *_DEFINITION, method="PATCH")
def schedule_update(call: Call) -> Any:
    """Change a schedule; what is not given stays as it is."""
    changes = _definition(call.given)
    if not changes:
        raise InvalidTask("Give a change.")
    changed = schedule_control.update(call.backend.schedules, call.given["name"], **changes, **call.by)
    return schedule_value(changed, call.roles)


@change("schedules/one", ADMINISTER, named("Done"), _NAME, method="DELETE")
def schedule_delete(call: Call) -> Any:
    """Delete a schedule; tasks that it has enqueued still run."""
    schedule_control.delete(call.backend.schedules, call.given["name"], **call.by)
    return {"is_changed": True}


@change("schedules/pause", ADMINISTER, named("Done"), _NAME)
def schedule_pause(call: Call) -> Any:
    """Pause a schedule until it is resumed."""
    schedule_control.pause(call.backend.schedules, call.given["name"], **call.by)
    return {"is_changed": True}


@change("schedules/resume", ADMINISTER, named("Done"), _NAME)
def schedule_resume(call: Call) -> Any:
    """Resume a paused schedule from now on."""
    schedule_control.resume(call.backend.schedules, call.given["name"], **call.by)
    return {"is_changed": True}


@change("schedules/run", OPERATE, named("Enqueued"), _NAME, status=201)
def schedule_run(call: Call) -> Any:
    """Enqueue one call of a schedule now; the schedule stays as it is."""
    return {"id": schedule_control.run_now(call.backend.schedules, call.given["name"], **call.by)}
