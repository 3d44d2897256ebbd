"""Tell the store that this worker lives, and what it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamtasks.stores.base import SupervisorStore

__all__ = ["Registry"]


class Registry:
    """The worker's entry on one shard.

    Args:
        describe: returns what the worker says of itself now.
    """

    def __init__(self, store: SupervisorStore, tag: str, worker: str, describe: Callable[[], dict[str, Any]]) -> None:
        self._store = store
        self._tag = tag
        self._worker = worker
        self._describe = describe

    async def run_once(self) -> int:
        """Beat once; return for how many ms reclaiming is held back."""
        return (await self._store.beat(self._tag, self._worker, self._describe())).hold_ms

    async def leave(self) -> None:
        """Strike the worker off."""
        await self._store.beat(self._tag, self._worker, None)
