"""What the API shows of more than one task: workflows, rate limits, series of counts, the doctor."""

from __future__ import annotations

from typing import Any

from streamtasks.operations.doctor import diagnose
from streamtasks.operations.limits import waiting_limits
from streamtasks.operations.series import chart
from streamtasks.operations.workflow_view import look_at_workflow
from streamtasks.protocol.keys import check_queue

from ..access import VIEW
from .fields import Field
from .operation import Call, read
from .schemas import named
from .values import task_row

__all__: list[str] = []


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
    "series",
    VIEW,
    named("Chart"),
    Field("queue", "string", "Only of this queue.", default=""),
    Field("task", "string", "Only of this task, if no queue is given.", default=""),
    Field(
        "by",
        "string",
        "minute: of the last 24 hours; hour: of 30 days.",
        default="minute",
        choices=("minute", "hour"),
    ),
)
def series(call: Call) -> Any:
    """Return what ended by the minute or by the hour, the present one last, and which releases came."""
    queue = call.given["queue"]
    found = chart(
        call.store,
        queue=check_queue(queue) if queue else "",
        task="" if queue else call.given["task"],
        by_hour=call.given["by"] == "hour",
    )
    return {
        "items": [one._asdict() for one in found.points],
        "each_ms": found.each_ms,
        "releases": [one._asdict() for one in found.releases],
        "queues": found.queues,
        "tasks": found.tasks,
    }


@read("doctor", VIEW, named("Diagnosis"))
def doctor(call: Call) -> Any:
    """Return what the doctor finds about the store and its workers."""
    found = diagnose(call.backend.application())
    items = [
        {"check": one.check, "level": one.level.word, "message": one.message, "remedy": one.remedy, "where": one.where}
        for one in found.findings
    ]
    return {"items": items, "address": found.address}
