"""What may be seen of a task: its state and how far it is; no arguments, results or errors."""

from __future__ import annotations

from typing import Any

from ..results.task_result import StreamTaskResult

__all__ = ["state_of", "unknown"]


def state_of(result: StreamTaskResult[Any]) -> dict[str, Any]:
    """Return what is shown of a task.

    Progress is what the task has reported with ``set_progress(done=3, total=10)``, or ``current`` for ``done``; a
    ``message``, a text, is shown, too.
    """
    info = result.info if isinstance(result.info, dict) and not result.is_finished else {}
    done, total = _number(info.get("done", info.get("current"))), _number(info.get("total"))
    message = info.get("message")
    return {
        "state": str(result.state),
        "is_finished": result.is_finished,
        "is_successful": result.is_finished and result.state == "SUCCESS",
        "done": done,
        "total": total,
        "message": message if isinstance(message, str) else "",
    }


def unknown() -> dict[str, Any]:
    """Return what is shown of a task that is not known, or not any more."""
    nothing: dict[str, Any] = {"done": None, "total": None, "message": ""}
    return {"state": "UNKNOWN", "is_finished": True, "is_successful": False, **nothing}


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None
