"""The durability levels: what must have a message before enqueueing returns."""

from __future__ import annotations

from typing import Any, Final, Literal

__all__ = ["AOF", "LEVELS", "MEMORY", "REPLICATED", "Durability", "check_durability"]

Durability = Literal["memory", "replicated", "aof"]
"""``"memory"``: the master. ``"replicated"``: its replicas, too. ``"aof"``: the append-only files of all of them."""

MEMORY: Final[Durability] = "memory"
REPLICATED: Final[Durability] = "replicated"
AOF: Final[Durability] = "aof"

LEVELS: Final[tuple[Durability, ...]] = (MEMORY, REPLICATED, AOF)
"""The weakest first; each holds all that the ones before it promise."""


def check_durability(name: str, value: Any, error: type[Exception]) -> None:
    """Raise ``error`` unless ``value`` is one of `LEVELS`."""
    if value not in LEVELS:
        raise error(f"{name} is {value!r}; it must be one of {', '.join(map(repr, LEVELS))}.")
