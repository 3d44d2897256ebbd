"""Django's task signals under the path that the documented code imports them from; workers send them as Django does."""

from __future__ import annotations

from .framework import TaskResultStatus, task_enqueued, task_finished, task_started

__all__ = ["TaskResultStatus", "task_enqueued", "task_finished", "task_started"]
