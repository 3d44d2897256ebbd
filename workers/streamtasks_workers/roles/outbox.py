"""Relay what a framework keeps in its database to the store."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import override

from .base import Role, ServedApp

__all__ = ["Outbox"]


class Outbox(Role):
    """The relay of an app. It runs on a thread of its own, because databases block, and leases must be renewed."""

    per_shard = False

    def __init__(self, app: ServedApp, tag: str = "") -> None:
        super().__init__(app, tag)
        self._thread = ThreadPoolExecutor(1, "streamtasks-outbox")
        self._watched: int | None = None

    @classmethod
    @override
    def serves(cls, app: ServedApp) -> bool:
        return app.relay is not None

    @override
    async def run_once(self) -> float | None:
        relay, loop = self.app.relay, asyncio.get_running_loop()
        assert relay is not None
        self._forget()
        wait_s = await loop.run_in_executor(self._thread, relay.run)
        self._watched = relay.fileno()
        if self._watched is not None:
            loop.add_reader(self._watched, self._readable)
        return wait_s

    def _readable(self) -> None:
        self._forget()  # until it has been read
        self.wake()

    def _forget(self) -> None:
        if self._watched is not None:
            asyncio.get_running_loop().remove_reader(self._watched)
            self._watched = None

    @override
    async def leave(self) -> None:
        self._forget()
        self._thread.shutdown(wait=False, cancel_futures=True)
