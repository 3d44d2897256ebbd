"""Change schedules for somebody who says who asks and why, which is written down first (`audit`)."""

from __future__ import annotations

from typing import Any

from ..schedules.schedules import Schedule, Schedules
from .audit import record

__all__ = ["create", "delete", "pause", "resume", "run_now", "update"]


def create(schedules: Schedules, name: str, *, actor: str, reason: str, **values: Any) -> Schedule:
    """Create a schedule; ``values`` and errors as of `Schedules.create`."""
    _record(schedules, "create schedule", name, actor, reason)
    return schedules.create(name, **values)


def update(schedules: Schedules, name: str, *, actor: str, reason: str, **changes: Any) -> Schedule:
    """Change a schedule; ``changes`` and errors as of `Schedules.update`."""
    _record(schedules, "update schedule", name, actor, reason)
    return schedules.update(name, **changes)


def delete(schedules: Schedules, name: str, *, actor: str, reason: str, force: bool = False) -> None:
    """Delete a schedule; errors as of `Schedules.delete`."""
    _record(schedules, "delete schedule", name, actor, reason)
    schedules.delete(name, force=force)


def pause(schedules: Schedules, name: str, *, actor: str, reason: str) -> None:
    """Pause a schedule; errors as of `Schedules.pause`."""
    _record(schedules, "pause schedule", name, actor, reason)
    schedules.pause(name)


def resume(schedules: Schedules, name: str, *, actor: str, reason: str) -> None:
    """Resume a schedule; errors as of `Schedules.resume`."""
    _record(schedules, "resume schedule", name, actor, reason)
    schedules.resume(name)


def run_now(schedules: Schedules, name: str, *, actor: str, reason: str) -> str:
    """Enqueue one call of a schedule now; return the id of its task. Errors as of `Schedules.run_now`."""
    _record(schedules, "run schedule", name, actor, reason)
    return str(schedules.run_now(name).id)


def _record(schedules: Schedules, operation: str, name: str, actor: str, reason: str) -> None:
    record(schedules.owner.store, operation, name, actor, reason)
