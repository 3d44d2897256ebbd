"""What the API shows of more than one task: workflows, rate limits, counts by the minute, the doctor."""

from __future__ import annotations

from typing import Any, Final

from streamtasks.operations import inspect
from streamtasks.operations.doctor import diagnose
from streamtasks.operations.limits import waiting_limits
from streamtasks.operations.minutes import PastHours, last_hours
from streamtasks.operations.workflow_view import look_at_workflow
from streamtasks.protocol.keys import check_queue

from ..access import VIEW
from .fields import Field
from .operation import Call, read
from .schemas import named
from .values import task_row

__all__: list[str] = []

_past: Final = PastHours()


@read("workflows/{workflow_id}", VIEW, named("Workflow"))
def workflow(call: Call, workflow_id: str) -> Any:
    """Return how far a workflow is, and the first of its tasks: `follows` has the places of those before it."""
    found = look_at_workflow(call.owner, workflow_id)
    nodes = [
        {
            "id": one.id,
            "task": None if one.task is None else task_row(one.task, call.roles),
            "follows": list(one.follows),
            "level": one.level,
        }
        for one in found.nodes
    ]
    return {**found._asdict(), "nodes": nodes}


@read("limits", VIEW, named("Limits"))
def limits(call: Call) -> Any:
    """Return the rate limits for which tasks wait, of the first 100 of these tasks."""
    found = waiting_limits(call.store, call.wire)
    items = [
        {
            "name": one.name,
            "waiting": [task.id for task in one.waiting],
            "every_us": 0 if one.standing is None else one.standing.limit_us,
            "next_ms": 0 if one.standing is None else one.standing.limit_ms,
        }
        for one in found.limits
    ]
    return {"items": items, "total": found.total, "looked_at": found.looked_at}


@read(
    "minutes",
    VIEW,
    named("Minutes"),
    Field("queue", "string", "Only of this queue.", default=""),
    Field("hours", "integer", "Of so many hours; fewer are read of many queues.", default=24, least=1, most=24),
)
def minutes(call: Call) -> Any:
    """Return what finished in each minute of the last hours, the present minute last."""
    queue = call.given["queue"]
    queues = [check_queue(queue)] if queue else [one.queue for one in inspect.queues(call.store)]
    return {"items": [one._asdict() for one in last_hours(call.store, queues, call.given["hours"], _past)]}


@read("doctor", VIEW, named("Diagnosis"))
def doctor(call: Call) -> Any:
    """Return what the doctor finds about the store and its workers."""
    found = diagnose(call.backend.application())
    items = [
        {"check": one.check, "level": one.level.word, "message": one.message, "remedy": one.remedy, "where": one.where}
        for one in found.findings
    ]
    return {"items": items, "address": found.address}
