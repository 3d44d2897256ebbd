"""The attempt that runs in this context. Results ask for it, too, which cannot import `streamtasks.tasks`."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

__all__ = ["RUNNING"]

RUNNING: Final[ContextVar[Any]] = ContextVar("streamtasks_attempt", default=None)
"""A `streamtasks.Attempt`, or None."""
