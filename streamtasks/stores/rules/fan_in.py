"""When a fan-in is decided, and when a workflow or a part of it is over."""

from __future__ import annotations

from ..workflow_types import FanIn, WorkflowCounts

__all__ = ["SUCCEEDED", "decision", "decision_at_deadline", "is_over"]

SUCCEEDED = ("SUCCESS", "IGNORED")
"""Outcomes that let the following tasks go on."""


def decision(fan_in: FanIn, succeeded: int, failed: int, task_id: str) -> str | None:
    """Return what becomes of the tasks that follow, now that a member has ended.

    Args:
        fan_in: its rules.
        succeeded: members that have succeeded.
        failed: members that have failed.
        task_id: the member that has ended.

    Returns:
        Empty: they go on. ``"parent:<id>"``: they fail. None: nothing is decided yet.
    """
    if succeeded >= fan_in.need:
        return ""
    if fan_in.collects:
        return "" if succeeded + failed == fan_in.members else None
    return f"parent:{task_id}" if failed > fan_in.members - fan_in.need else None


def decision_at_deadline(fan_in: FanIn, workflow_id: str) -> str:
    """Return what becomes of the tasks that follow when the deadline has passed; see `decision`."""
    return "" if fan_in.collects else f"late:{workflow_id}"


def is_over(counts: WorkflowCounts | None, fan_in: int | None, *, failure: bool) -> bool:
    """Return whether a fan-in is over, or None: the whole workflow. What is not known any more is over.

    Args:
        counts: those of the workflow, with the fan-in as the only one asked for.
        fan_in: its number; None: the whole workflow.
        failure: one failed member is enough.
    """
    if counts is None:
        return True
    if fan_in is None:
        return counts.finished >= counts.nodes
    [one] = counts.fan_ins
    return one.succeeded + one.failed >= one.members or (failure and one.failed > 0)
