"""What becomes of a message whose attempt ended without an outcome, or with one that does not count."""

from __future__ import annotations

from typing import Final

from ..types import Charge
from . import phases

__all__ = ["KNOWN_MS", "crash_charge", "is_exhausted", "is_overridden", "must_run_alone"]

KNOWN_MS: Final = 900_000
"""The id of a finished message stays known for at least this long, ms."""

SUSPECT_CRASHES: Final = 2


def is_overridden(phase: str, outcome: str) -> bool:
    """Return whether a message ends as REVOKED although its holder says otherwise."""
    return phase == phases.REVOKED and outcome not in ("REVOKED", "CALLED")


def crash_charge(phase: str, crashes: int, limit: int) -> Charge:
    """Return what becomes of a message whose child crashed while it ran.

    Args:
        phase: of the message.
        crashes: how many it has been charged with before.
        limit: with how many it is given up on.
    """
    if crashes + 1 >= limit:
        return Charge.LIMIT
    return Charge.AT_ONCE if crashes == 0 or phase == phases.REVOKED else Charge.AFTER_DELAY


def is_exhausted(phase: str, started_ms: int, lost: int, limit: int) -> bool:
    """Return whether a message whose worker vanished is given up on.

    Args:
        phase: of the message.
        started_ms: the start of the attempt, 0: none is known.
        lost: how many of its attempts ended so before.
        limit: with how many it is given up on.
    """
    return phases.is_running(phase, started_ms) and lost + 1 >= limit


def must_run_alone(crashes: int) -> bool:
    """Return whether a delayed message has crashed so often that nothing may run beside it."""
    return crashes >= SUSPECT_CRASHES
