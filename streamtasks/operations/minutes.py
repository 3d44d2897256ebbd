"""Read what has finished by the minute: a day of a queue, or of several together, for charts."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple

from ..stores.base import Store
from .inspect import OUTCOMES

__all__ = ["MOST_HOURS", "MOST_READ", "Minute", "PastHours", "hours_for", "last_hours"]

MOST_HOURS: Final = 24

MOST_READ: Final = 240
"""So many hours are read, each of one queue on one shard: some ten milliseconds of a server, where none is known."""

_HOUR_MS: Final = 3_600_000
_MINUTE_MS: Final = 60_000


class Minute(NamedTuple):
    """What finished in a minute. ``at_ms``: when it began, ms since the epoch; ``run_ms``: how long attempts ran."""

    at_ms: int
    succeeded: int = 0
    failed: int = 0
    other: int = 0
    run_ms: int = 0

    @property
    def finished(self) -> int:
        """All that finished."""
        return self.succeeded + self.failed + self.other

    @property
    def mean_ms(self) -> float | None:
        """How long attempts ran, on average; None: none did."""
        return self.run_ms / self.finished if self.finished else None


type _Key = tuple[Store, str, int]


class PastHours:
    """Keeps the counts of hours that are over, which do not change, so that they are read once.

    Args:
        most: hours that are kept.
    """

    def __init__(self, most: int = 1000) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._known: OrderedDict[_Key, list[Minute]] = OrderedDict()

    def get(self, key: _Key) -> list[Minute] | None:
        """Return the minutes of an hour, if it is known."""
        with self._lock:
            return self._known.get(key)

    def keep(self, key: _Key, minutes: list[Minute]) -> None:
        """Keep the minutes of an hour that is over."""
        with self._lock:
            self._known[key] = minutes
            while len(self._known) > self._most:
                self._known.popitem(last=False)


def last_hours(
    store: Store, queues: Sequence[str], hours: int = MOST_HOURS, past: PastHours | None = None
) -> list[Minute]:
    """Return the minutes of the last hours, the present one included, without those that are yet to come.

    Args:
        store: where they were counted.
        queues: of these together, at most 240 (`hours_for`).
        hours: how many, at most 24; fewer are read of many queues or shards.
        past: knows hours that are over; None: all are read.

    Raises:
        ServerNotSupported: the store does not count by minutes.
    """
    this_hour = time.time_ns() // 1_000_000 // _HOUR_MS
    now_ms, _ = store.minute_counts([this_hour], "")  # by whose clock it is counted
    this_hour = now_ms // _HOUR_MS
    wanted = range(this_hour - min(hours, hours_for(store, len(queues))) + 1, this_hour + 1)
    sums = {hour: [Minute(hour * _HOUR_MS + minute * _MINUTE_MS) for minute in range(60)] for hour in wanted}
    for queue in queues[:MOST_READ]:
        for hour, minutes in _of_queue(store, queue, wanted, past, now_ms).items():
            sums[hour] = [_sum(*both) for both in zip(sums[hour], minutes, strict=True)]
    return [one for hour in wanted for one in sums[hour] if one.at_ms <= now_ms]


def hours_for(store: Store, queues: int) -> int:
    """Return how many hours are read of so many queues."""
    return max(1, min(MOST_HOURS, MOST_READ // max(1, queues * len(store.tags))))


def _of_queue(store: Store, queue: str, wanted: range, past: PastHours | None, now_ms: int) -> dict[int, list[Minute]]:
    found: dict[int, list[Minute]] = {}
    for hour in wanted[:-1] if past is not None else ():
        known = None if past is None else past.get((store, queue, hour))
        if known is not None:
            found[hour] = known
    _, read = store.minute_counts([hour for hour in wanted if hour not in found], queue)
    for hour, counts in read:
        found[hour] = [_minute(hour, minute, counts) for minute in range(60)]
        if past is not None and (hour + 1) * _HOUR_MS + _MINUTE_MS < now_ms:  # by the clocks of all masters
            past.keep((store, queue, hour), found[hour])
    return found


def _sum(one: Minute, more: Minute) -> Minute:
    return Minute(one.at_ms, *(first + second for first, second in zip(one[1:], more[1:], strict=True)))


def _minute(hour: int, minute: int, counts: dict[tuple[int, str], int]) -> Minute:
    at_ms = hour * _HOUR_MS + minute * _MINUTE_MS
    sums = {
        name: sum(counts.get((minute, outcome.value), 0) for outcome in OUTCOMES[name])
        for name in ("succeeded", "failed", "revoked")
    }
    return Minute(at_ms, sums["succeeded"], sums["failed"], sums["revoked"], counts.get((minute, "ms"), 0))
