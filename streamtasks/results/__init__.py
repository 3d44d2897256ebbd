"""Handles on what was enqueued: a task's result, a group's results, a workflow."""

from __future__ import annotations

from .task_result import Result, wait_for

__all__ = ["Result", "wait_for"]
