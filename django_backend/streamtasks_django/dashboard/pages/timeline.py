"""A task as a state machine: the states that it has passed, the one that it is in, and those that may follow."""

from __future__ import annotations

from collections.abc import Set
from typing import Any, Final, NamedTuple

from streamtasks.operations.inspect import TaskView

from ..formats import moment, span
from ..rows import MEANINGS, error_row

__all__ = ["Step", "timeline"]

_NEXT: Final = {
    "BLOCKED": ("QUEUED", "REVOKED"),
    "DELAYED": ("QUEUED", "REVOKED"),
    "LIMITED": ("QUEUED", "REVOKED"),
    "QUEUED": ("STARTED", "REVOKED", "EXPIRED"),
    "RETRY": ("STARTED", "REVOKED", "EXPIRED"),
    "STARTED": ("SUCCESS", "FAILURE", "RETRY"),
    "PROGRESS": ("SUCCESS", "FAILURE", "RETRY"),
}
"""What may follow a state."""


class Step(NamedTuple):
    """A state that a task has passed, or is in.

    Attributes:
        state: its name.
        meaning: its colour.
        at: since when.
        about: what there is to say of it.
        error: in one line.
        traceback: of the error.
        is_now: whether the task is in it.
    """

    state: str
    meaning: str
    at: str
    about: str = ""
    error: str = ""
    traceback: str = ""
    is_now: bool = False


def timeline(view: TaskView, roles: Set[str]) -> tuple[list[Step], tuple[str, ...]]:
    """Return the states of a task in order, and the names of those that may follow."""
    snapshot = view.snapshot
    name = "" if view.message is None else view.message.task
    first_ms = snapshot.first_started_ms or snapshot.started_ms
    waited = f"waited {_span(first_ms - snapshot.enqueued_ms)}" if first_ms else ""
    steps = [Step("ENQUEUED", "quiet", moment(snapshot.enqueued_ms), waited)]
    if snapshot.due_ms:
        steps.append(Step("DELAYED", "quiet", moment(snapshot.enqueued_ms), f"due {moment(snapshot.due_ms)}"))
    steps += [_attempt(one, name, roles) for one in snapshot.reports]
    state, is_final = snapshot.state.value, snapshot.is_finished
    if is_final:
        if snapshot.started_ms:
            steps.append(_started(view, "quiet"))
        ran = f"ran {_span(snapshot.finished_ms - snapshot.started_ms)}" if snapshot.started_ms else "never started"
        error = error_row(view.error, name, roles) if view.error else {"line": "", "traceback": ""}
        meaning = MEANINGS.get(state, "quiet")
        steps.append(Step(state, meaning, moment(snapshot.finished_ms), ran, error["line"], is_now=True))
    elif state in ("STARTED", "PROGRESS"):
        steps.append(_started(view, "busy")._replace(state=view.state, is_now=True))
    else:
        waits = f"for {snapshot.waits_for}" if snapshot.waits_for else ""
        due = f"due {moment(snapshot.due_ms)}" if snapshot.due_ms else ""
        steps.append(Step(state, MEANINGS.get(state, "quiet"), "", waits or due, is_now=True))
    return steps, () if is_final else _NEXT.get(state, ())


def _started(view: TaskView, meaning: str) -> Step:
    snapshot = view.snapshot
    about = f"attempt {snapshot.attempts}" + (f" by {snapshot.worker}" if snapshot.worker else "")
    return Step("STARTED", meaning, moment(snapshot.started_ms), about)


def _attempt(report: dict[str, Any], name: str, roles: Set[str]) -> Step:
    kind = str(report.get("kind") or "")
    if isinstance(report.get("of"), dict):
        left_out = ", ".join(f"{count} {what}" for what, count in report["of"].items())
        return Step("MORE", "quiet", "", f"attempts that are not kept: {left_out}")
    error = report.get("error")
    shown = error_row(error, name, roles) if isinstance(error, dict) else {"line": "", "traceback": ""}
    started_ms, finished_ms = _ms(report.get("started")), _ms(report.get("finished"))
    about = [f"attempt {report.get('attempt') or '?'}"]
    if report.get("worker"):
        about.append(f"by {report['worker']}")
    if started_ms and finished_ms:
        about.append(f"ran {_span(finished_ms - started_ms)}")
    meaning = MEANINGS.get(kind, "warn")
    return Step(kind, meaning, moment(started_ms), ", ".join(about), shown["line"], shown["traceback"])


def _span(ms: int) -> str:
    return span(ms) if ms > 0 else "0 ms"


def _ms(value: Any) -> int:
    return value if isinstance(value, int) else 0
