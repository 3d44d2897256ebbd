"""The source of randomness for pauses and orders."""

from __future__ import annotations

import random
from typing import Final

__all__ = ["RANDOM"]

RANDOM: Final = random.SystemRandom()
"""Not that of the module: a project's seed neither decides what is drawn nor is used up, and forks share no state."""
