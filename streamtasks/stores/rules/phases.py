"""Phases of an unfinished message, and the state that readers see of it.

What each phase means stands in the protocol page under "State line".
"""

from __future__ import annotations

from typing import Final

from ...protocol.state import State

__all__ = [
    "BLOCKED",
    "CLAIMED",
    "DELAYED",
    "HELD",
    "LIMITED",
    "QUEUED",
    "REVOKED",
    "RUNNING",
    "SUSPECT",
    "attempts_made",
    "is_running",
    "visible_state",
]

QUEUED: Final = "Q"
SUSPECT: Final = "S"
"""Queued, and to be claimed only by a child with nothing else in hand."""
CLAIMED: Final = "C"
RUNNING: Final = "R"
REVOKED: Final = "X"
"""Revoked while a worker holds it: whatever the attempt does, its outcome will be REVOKED."""
DELAYED: Final = "D"
BLOCKED: Final = "B"
"""Waits for another task, or for its workflow."""
LIMITED: Final = "W"
"""Waits for its rate limit."""

HELD: Final = frozenset((CLAIMED, RUNNING, REVOKED))
"""Phases of a message that a worker holds."""


def is_running(phase: str, started_ms: int) -> bool:
    """Return whether an attempt is known to run; ``started_ms``: its start, 0: none is known."""
    return phase == RUNNING or (phase == REVOKED and started_ms > 0)


def attempts_made(phase: str, started_ms: int, attempts: int) -> int:
    """Return how many attempts have started: a claimed message counts one that has not."""
    return attempts - (phase in HELD and not is_running(phase, started_ms))


def visible_state(phase: str, started_ms: int, *, has_progress: bool, has_retried: bool) -> State:
    """Return the state that readers see of an unfinished message.

    Args:
        phase: its phase.
        started_ms: the start of the current attempt, 0: none is known.
        has_progress: the current attempt has reported progress.
        has_retried: an attempt has ended before.
    """
    if is_running(phase, started_ms):
        return State.PROGRESS if has_progress else State.STARTED
    if phase == BLOCKED:
        return State.BLOCKED
    if phase == LIMITED:
        return State.LIMITED
    if has_retried:
        return State.RETRY
    return State.DELAYED if phase == DELAYED else State.QUEUED
