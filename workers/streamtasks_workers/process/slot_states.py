"""What a slot of a board may hold, and why the attempt in it may be interrupted."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Interrupt", "Slot"]


class Slot(IntEnum):
    """What a slot holds."""

    FREE = 0
    CLAIMED = 1
    RUNNING = 2
    FINISHED = 3
    RETURNED = 4


class Interrupt(IntEnum):
    """Why a running attempt is interrupted, the stronger the higher; also why its outcome was enforced."""

    NONE = 0
    SOFT_LIMIT = 1
    HARD_LIMIT = 2
    REVOKED = 3
