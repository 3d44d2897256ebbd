"""Series of counts for charts; all are on the first shard."""

from __future__ import annotations

from collections.abc import Sequence

from ....protocol.keys import Keys
from ....protocol.series import MOST_QUEUES, MOST_TASKS, counts_of
from ...series_types import MOST_DAYS, MOST_HOURS, NewSeries, Release, Series
from ..batches import chunks
from ..scripts import Call, script
from ..shards import Operation, Shards

__all__ = ["add_series", "add_series_call", "note_release", "series", "series_call"]

_HOUR_MS = 3_600_000


def add_series_call(keys: Keys, new: NewSeries, hour: int) -> Call:
    """Build add_series: of up to 100 series."""
    return script("add_series").call(
        keys,
        minutes=keys.minute_series(hour),
        hours=keys.hour_series(hour // 24),
        hour=hour,
        age_ms=new.age_ms,
        worker=new.worker,
        number=new.number,
        queues=MOST_QUEUES,
        tasks=MOST_TASKS,
        more_args=[word for pair in new.counts for word in pair],
    )


def add_series(shards: Shards, new: NewSeries) -> Operation[None]:
    """See `SupervisorStore.add_series`."""
    shard = shards.by_tag[shards.tags[0]]
    for place, some in enumerate(chunks(new.counts)):
        part = new._replace(number=new.number * 100 + place, counts=some)
        for _ in range(3):  # an hour may have begun meanwhile
            hour = (shard.now_ms() - new.age_ms) // _HOUR_MS
            [reply] = yield [add_series_call(shard.keys, part, hour)]
            if reply[0] != b"hour":
                break
            shard.learn_clock(reply[1])


def series_call(keys: Keys, names: Sequence[str], day: int, some: Sequence[str]) -> Call:
    """Build series: of these hashes."""
    return script("series").call(
        keys, today=keys.hour_series(day), yesterday=keys.hour_series(day - 1), more_keys=some, more_args=names
    )


def series(shards: Shards, names: Sequence[str], *, by_hour: bool) -> Operation[Series]:
    """See `Store.series`."""
    shard = shards.by_tag[shards.tags[0]]
    keys = shard.keys
    while True:
        hour = shard.hour()
        day = hour // 24
        if by_hour:
            starts, each_ms = [one * 24 * _HOUR_MS for one in range(day - MOST_DAYS, day + 1)], _HOUR_MS
            some = [keys.hour_series(one // (24 * _HOUR_MS)) for one in starts]
        else:
            starts, each_ms = [one * _HOUR_MS for one in range(hour - MOST_HOURS, hour + 1)], 60_000
            some = [keys.minute_series(one // _HOUR_MS) for one in starts]
        [(now_ms, releases, known, *texts)] = yield [series_call(keys, names, day, some)]
        if now_ms // _HOUR_MS == hour:
            break
        shard.learn_clock(now_ms)
    counts: dict[str, dict[int, list[int]]] = {name: {} for name in names}
    for start, row in zip(starts, texts, strict=True):
        for name, text in zip(names, row, strict=True):
            found = counts_of("" if text is None else text.decode())
            counts[name].update((start + number * each_ms, one) for number, one in sorted(found.items()))
    marks = [_release(one) for one in releases]
    return Series(int(now_ms), marks, sorted(set(known.decode().split("\n")) - {""}), counts)


def note_release(shards: Shards, project: str, release: str) -> Operation[None]:
    """See `SupervisorStore.note_release`."""
    yield [script("note_release").call(shards.by_tag[shards.tags[0]].keys, project=project, release=release)]


def _release(raw: bytes) -> Release:
    at, _, rest = raw.decode().partition(" ")
    project, _, release = rest.partition("\0")
    return Release(int(at), project, release)
