"""The page of a workflow: how far it is, its tasks as a drawing and as a list."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpResponse

from streamtasks.operations import audit, workflow_control
from streamtasks.operations.workflow_view import WorkflowNode, WorkflowView, look_at_workflow

from ..access import OPERATE, VIEW, Visit, view
from ..changes import Change, address, back, by, change, who_text
from ..formats import moment
from ..rows import MEANINGS

__all__ = ["workflow", "workflow_retry", "workflow_revoke"]

_DRAWN: Final = 60
"""A workflow of more tasks is only listed."""

_WIDTH: Final = 190
_HEIGHT: Final = 44
_GAP_X: Final = 60
_GAP_Y: Final = 16
_LETTERS: Final = 24


@view(VIEW, "GET", "HEAD")
def workflow(visit: Visit, workflow_id: str) -> HttpResponse:
    """Show one workflow."""
    found = look_at_workflow(visit.backend.owner, workflow_id)
    rows = [_row(visit, number, node) for number, node in enumerate(found.nodes)]
    is_open = found.finished < found.total
    changes: list[Change] = []
    if OPERATE in visit.roles and is_open:
        text = "Ends all of its tasks that are not finished."
        box = ("terminate", "Also interrupt those that run")
        changes.append(
            change(visit, "workflow_revoke", "Revoke it", workflow_id, text=text, is_dangerous=True, box=box)
        )
    again = audit.latest(visit.backend.stores.plain, ("retry workflow",), workflow_id)
    if OPERATE in visit.roles and not is_open and found.failed:
        text = "A new workflow of what has not succeeded, which knows the results of the rest."
        changes.append(change(visit, "workflow_retry", "Run what failed again", workflow_id, text=text))
    return visit.render(
        "workflow",
        again="" if again is None else who_text(again),
        workflow=found,
        started=moment(found.started_ms),
        states=[{"name": name, "number": number, "meaning": MEANINGS.get(name, "quiet")}
                for name, number in found.states.items()],
        rows=rows,
        drawing=_drawing(found, rows) if len(rows) <= _DRAWN else None,
        missing=found.total - len(rows),
        changes=changes,
    )  # fmt: skip


def _row(visit: Visit, number: int, node: WorkflowNode) -> dict[str, Any]:
    task = node.task
    name = "" if task is None or task.message is None else task.message.task
    return {
        "number": number + 1,
        "id": node.id,
        "address": address(visit, "task", node.id),
        "task": name or ("expired" if task is None else "unreadable"),
        "state": "UNKNOWN" if task is None else task.state,
        "meaning": "quiet" if task is None else MEANINGS.get(task.snapshot.state.value, "quiet"),
        "follows": [one + 1 for one in node.follows[:20]],
        "more": max(0, len(node.follows) - 20),
        "level": node.level + 1,
    }


def _drawing(found: WorkflowView, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return boxes and lines of a drawing: from left to right, what stands before others left of them."""
    places: list[tuple[int, int]] = []
    filled: dict[int, int] = {}
    for node in found.nodes:
        row = filled.get(node.level, 0)
        filled[node.level] = row + 1
        places.append((8 + node.level * (_WIDTH + _GAP_X), 8 + row * (_HEIGHT + _GAP_Y)))
    boxes = [
        {**row, "x": x, "y": y, "text_x": x + 10, "name_y": y + 18, "state_y": y + 35, "name": _short(row["task"])}
        for row, (x, y) in zip(rows, places, strict=True)
    ]
    lines = []
    for node, (x, y) in zip(found.nodes, places, strict=True):
        for before in node.follows:
            from_x, from_y = places[before][0] + _WIDTH, places[before][1] + _HEIGHT // 2
            middle, to_y = (from_x + x) // 2, y + _HEIGHT // 2
            lines.append(f"M{from_x} {from_y}C{middle} {from_y} {middle} {to_y} {x} {to_y}")
    width = 16 + max(filled, default=0) * (_WIDTH + _GAP_X) + _WIDTH
    height = 16 + max(filled.values(), default=0) * (_HEIGHT + _GAP_Y)
    return {"boxes": boxes, "lines": lines, "width": width, "height": height, "box": (_WIDTH, _HEIGHT)}


def _short(name: str) -> str:
    """Return the last part of a task's name, in as many letters as a box has."""
    last = name.rpartition(".")[2]
    return last if len(last) <= _LETTERS else f"{last[: _LETTERS - 1]}…"


@view(OPERATE, "POST")
def workflow_retry(visit: Visit, workflow_id: str) -> HttpResponse:
    """Run what failed of a workflow again, as a new workflow; go to that."""
    again = workflow_control.retry_failed(visit.backend.owner, workflow_id, **by(visit))
    return back(visit, "workflow", again, note="done")


@view(OPERATE, "POST")
def workflow_revoke(visit: Visit, workflow_id: str) -> HttpResponse:
    """End all tasks of a workflow that are not finished."""
    terminate = visit.request.POST.get("terminate") == "1"
    were_open = workflow_control.revoke(visit.backend.owner, workflow_id, terminate=terminate, **by(visit))
    return back(visit, "workflow", workflow_id, note="revoked" if were_open else "had_ended")
