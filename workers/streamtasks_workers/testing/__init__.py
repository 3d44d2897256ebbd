"""For tests of code that enqueues tasks. Names are imported when they are asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .memory_tasks import Enqueued, KeptTasks, MemoryTasks, TaskOutbox, at_url, memory_tasks

__all__ = ["Enqueued", "KeptTasks", "MemoryTasks", "TaskOutbox", "at_url", "memory_tasks"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(".memory_tasks", __name__), name)
