"""Plan and apply bulk operations that somebody has asked for."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, override

from .base import Role, ServedApp

if TYPE_CHECKING:
    from streamtasks.operations.bulk_steps import BulkRunner

__all__ = ["BulkOperations"]


class BulkOperations(Role):
    """The bulk operations of an app, on a thread: messages are decoded there, and leases must be renewed meanwhile."""

    per_shard = False
    wake_on = "bulk"

    def __init__(self, app: ServedApp, tag: str = "") -> None:
        super().__init__(app, tag)
        self.interval_s = 30.0
        self._thread: ThreadPoolExecutor | None = None
        self._runner: BulkRunner | None = None

    @classmethod
    @override
    def serves(cls, app: ServedApp) -> bool:
        return app.owner is not None

    @override
    async def run_once(self) -> float | None:
        if self._runner is None or self._thread is None:
            from streamtasks.operations.bulk_steps import BulkRunner

            assert self.app.owner is not None
            self._runner = BulkRunner(self.app.owner)
            self._thread = ThreadPoolExecutor(1, "streamtasks-bulk")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._runner.run_once)

    @override
    async def leave(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
