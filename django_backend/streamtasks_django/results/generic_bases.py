"""Django's task and result as base classes with type arguments, which only their stubs have."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["GenericTask", "GenericTaskResult"]

if TYPE_CHECKING:
    from ..framework import Task as GenericTask
    from ..framework import TaskResult as GenericTaskResult
else:
    from ..framework import Task, TaskResult

    class _Subscriptable:
        def __init__(self, cls):
            self._cls = cls

        def __getitem__(self, _arguments):
            return self._cls

    GenericTask = _Subscriptable(Task)
    GenericTaskResult = _Subscriptable(TaskResult)
