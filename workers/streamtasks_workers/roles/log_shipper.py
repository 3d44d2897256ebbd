"""Keep what attempts have logged with their tasks: take the lines from the boards and send them to the store."""

from __future__ import annotations

import secrets
import time
from typing import Final, NamedTuple, override

from streamtasks.exceptions import StoreFull
from streamtasks.stores.inspection_types import NewLog
from streamtasks.stores.rules.bounded_log import BoundedLog

from ..process.log_ring import LogRing
from .base import Role, ServedApp

__all__ = ["LogShipper"]

SHIP_S: Final = 0.05
"""Lines are sent at most this often, seconds."""

LOOK_S: Final = 1.0
"""A task that was not finished when its lines were sent is looked at again after this time, twice it, and so on."""

MOST_OPEN: Final = 10_000
MOST_LOOKS: Final = 1000


class _Batch(NamedTuple):
    """Lines on their way: what is sent, and how far rings have been read."""

    some: list[NewLog]
    nonce: str
    ends: list[tuple[LogRing, int]]


class LogShipper(Role):
    """Sends the lines of an app's children. What is sent stays in their rings until the store has it."""

    per_shard = False

    def __init__(self, app: ServedApp, tag: str = "") -> None:
        super().__init__(app, tag)
        self._batch: _Batch | None = None
        self._open: dict[str, tuple[float, float]] = {}  # id -> when to look (monotonic), and after which time, s

    @classmethod
    @override
    def serves(cls, app: ServedApp) -> bool:
        return app.settings.keeps_logs

    @override
    async def run_once(self) -> float | None:
        self.app.rings |= {board.number: board.lines for board in self.app.boards}
        batch = self._batch or self._next(time.monotonic())
        if batch.some:
            self._batch = batch  # sent again as it is after an error
            try:
                codes = await self.store.append_logs(batch.some, batch.nonce)
            except StoreFull:
                codes = [0] * len(batch.some)  # they would take memory that tasks need
            self._note(batch, codes, time.monotonic())
        for ring, end in batch.ends:
            ring.discard(end)
        self._batch = None
        return SHIP_S

    def _next(self, now: float) -> _Batch:
        half = self.app.settings.log_bytes // 2
        logs: dict[str, BoundedLog] = {}
        ends = []
        for ring in self.app.rings.values():
            if ring.has_news:
                entries, end = ring.peek()
                ends.append((ring, end))
                for entry in entries:
                    log = logs.setdefault(entry.id, BoundedLog(half))
                    log.skip(entry.dropped)
                    log.put(entry.lines)
        some = [NewLog(one, bytes(log.first), log.left_out, bytes(log.last)) for one, log in logs.items()]
        if self._open:
            due = [one for one, (at, _) in self._open.items() if at <= now and one not in logs]
            some += [NewLog(one) for one in due[:MOST_LOOKS]]
        return _Batch(some, secrets.token_hex(8), ends)

    def _note(self, batch: _Batch, codes: list[int], now: float) -> None:
        """Remember the tasks whose end is to come, for their lines expire with their records."""
        for new, code in zip(batch.some, codes, strict=True):
            _, wait_s = self._open.pop(new.id, (0.0, 0.0))
            if code == 1:
                wait_s = LOOK_S if new.first or new.last else min(2 * wait_s, self.app.settings.log_keep_ms / 4000)
                self._open[new.id] = now + wait_s, wait_s
        while len(self._open) > MOST_OPEN:
            del self._open[next(iter(self._open))]

    @override
    async def leave(self) -> None:
        await self.run_once()
        self._open = dict.fromkeys(self._open, (0.0, LOOK_S))
        await self.run_once()
