"""The project's own rule for what is shown of arguments, results and errors."""

from __future__ import annotations

from typing import Any

from ..conf.project import dashboard_redact

__all__ = ["is_redacting", "redacted"]


def redacted(kind: str, task: str, value: Any) -> Any:
    """Return what is shown of a value: what ``DASHBOARD_REDACT`` makes of it.

    Args:
        kind: ``args``, ``kwargs``, ``result``, ``error``, ``traceback``, ``headers``, ``progress`` or ``logs``.
        task: the name of the task; empty: it cannot be read.
        value: of the task.
    """
    redact = dashboard_redact()
    return value if redact is None else redact(kind, task, value)


def is_redacting() -> bool:
    """Return whether the project has such a rule."""
    return dashboard_redact() is not None
