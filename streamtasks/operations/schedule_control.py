"""Change schedules for somebody who says who asks and why, which is written down first (`audit`)."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from ..schedules.schedules import Schedule, Schedules
from .audit import recorded

__all__ = ["create", "delete", "pause", "resume", "run_now", "update"]


def create(schedules: Schedules, name: str, *, actor: str, reason: str, **values: Any) -> Schedule:
    """Create a schedule; ``values`` and errors as of `Schedules.create`."""
    with _recorded(schedules, "create schedule", name, actor, reason):
        return schedules.create(name, **values)


def update(schedules: Schedules, name: str, *, actor: str, reason: str, **changes: Any) -> Schedule:
    """Change a schedule; ``changes`` and errors as of `Schedules.update`."""
    with _recorded(schedules, "update schedule", name, actor, reason):
        return schedules.update(name, **changes)


def delete(schedules: Schedules, name: str, *, actor: str, reason: str, force: bool = False) -> None:
    """Delete a schedule; errors as of `Schedules.delete`."""
    with _recorded(schedules, "delete schedule", name, actor, reason):
        schedules.delete(name, force=force)


def pause(schedules: Schedules, name: str, *, actor: str, reason: str) -> None:
    """Pause a schedule; errors as of `Schedules.pause`."""
    with _recorded(schedules, "pause schedule", name, actor, reason):
        schedules.pause(name)


def resume(schedules: Schedules, name: str, *, actor: str, reason: str) -> None:
    """Resume a schedule; errors as of `Schedules.resume`."""
    with _recorded(schedules, "resume schedule", name, actor, reason):
        schedules.resume(name)


def run_now(schedules: Schedules, name: str, *, actor: str, reason: str) -> str:
    """Enqueue one call of a schedule now; return the id of its task. Errors as of `Schedules.run_now`."""
    with _recorded(schedules, "run schedule", name, actor, reason):
        return str(schedules.run_now(name).id)


def _recorded(schedules: Schedules, operation: str, name: str, actor: str, reason: str) -> AbstractContextManager[None]:
    return recorded(schedules.owner.store, operation, name, actor, reason)
