"""Where the words of a board lie: those of its header, then those of each slot."""

from __future__ import annotations

from typing import Final

__all__ = ["HARD", "HEADER_BYTES", "SLOT_BYTES", "SOFT", "STARTED"]

HEADER_BYTES: Final = 4096
SLOT_BYTES: Final = 4096

STARTED: Final = 50
SOFT: Final = 53
HARD: Final = 54
"""Words of a slot: when its attempt started, is interrupted and is ended, monotonic ns; 0: not, or never."""
