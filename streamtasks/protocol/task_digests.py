"""Digests of task names, by which workers tell each other which tasks they know."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

__all__ = ["digest", "digests"]


def digest(name: str) -> str:
    """Return eight characters for a task's name."""
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def digests(names: Iterable[str]) -> str:
    """Return the digests of tasks, separated by spaces."""
    return " ".join(sorted(map(digest, names)))
