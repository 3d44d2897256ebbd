"""Add what the processes of a worker have counted to the series for charts, once a minute; note its release."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from typing import Final, NamedTuple, override

from streamtasks.exceptions import StoreFull
from streamtasks.protocol.jitter import RANDOM
from streamtasks.stores.series_types import NewSeries

from ..process.counted import series_texts
from .base import Role, ServedApp

__all__ = ["SeriesRecorder"]

MINUTE_S: Final = 60.0

FIRST_S: Final = 5.0
"""What a worker counts first is sent so soon: somebody may be waiting for it."""

SPREAD_S: Final = 3.0
"""Workers that count alike send at different times."""

MOST_KEPT: Final = 60
"""So many minutes are kept while the store is away; then the oldest go."""


class _Counted(NamedTuple):
    """What was counted until a moment, monotonic seconds, and the middle of that time."""

    middle_s: float
    number: int
    counts: list[tuple[str, str]]


class SeriesRecorder(Role):
    """Takes the numbers of an app's children, and of the keeper, from shared memory at the end of each minute.

    Nothing is sent by a worker that has run nothing. What was sent and not answered is sent again with the same number.
    """

    per_shard = False

    def __init__(self, app: ServedApp, tag: str = "") -> None:
        super().__init__(app, tag)
        self.interval_s = MINUTE_S
        self._kept: deque[_Counted] = deque(maxlen=MOST_KEPT)
        self._taken_s = time.monotonic()
        self._next_s = self._taken_s + min(FIRST_S, _left_s())
        self._send_s = 0.0
        self._is_noted = False

    @classmethod
    @override
    def serves(cls, app: ServedApp) -> bool:
        return app.counters is not None

    @override
    async def run_once(self) -> float | None:
        if not self._is_noted:
            await self.store.note_release(self.app.project or self.app.label, release_of(self.app.release))
            self._is_noted = True
        now = time.monotonic()
        if now >= self._next_s:
            self._take(now)
            self._next_s = now + _left_s()
            self._send_s = now + SPREAD_S * RANDOM.random()
        if self._kept and now >= self._send_s:
            await self._send()
        wait_until = min(self._next_s, self._send_s) if self._kept else self._next_s
        return max(0.01, wait_until - time.monotonic())

    def _take(self, now: float) -> None:
        counters = self.app.counters
        assert counters is not None
        boards = (*(counters.boards[number] for number in self.app.counted), counters.keeper)
        texts = series_texts(chain.from_iterable(one.take() for one in boards))
        self.app.counted.intersection_update(self.app.children)
        middle_s, self._taken_s = (self._taken_s + now) / 2, now
        if texts:
            self._kept.append(_Counted(middle_s, time.monotonic_ns() // 1_000_000, texts))

    async def _send(self) -> None:
        while self._kept:
            one = self._kept[0]
            age_ms = max(0, round(1000 * (time.monotonic() - one.middle_s)))
            with suppress(StoreFull):  # it would take memory that tasks need
                await self.store.add_series(NewSeries(self.app.worker, one.number, age_ms, one.counts))
            self._kept.popleft()

    @override
    async def leave(self) -> None:
        self._take(time.monotonic())
        await self._send()


def release_of(release: str) -> str:
    """Return what charts show of a release of a project; empty: only the version of streamtasks is known."""
    try:
        build = f"streamtasks {version('streamtasks')}"
    except PackageNotFoundError:
        build = "streamtasks"
    return f"{release}, {build}" if release else build


def _left_s() -> float:
    """Return how long this minute lasts, seconds."""
    return MINUTE_S - time.time() % MINUTE_S
