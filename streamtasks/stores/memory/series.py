"""Keep series of counts for charts (add_series.lua, series.lua, note_release.lua)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...protocol import series as texts
from ..series_types import MOST_DAYS, MOST_HOURS, MOST_RELEASES, NewSeries, Release, Series
from .shard import Shard

__all__ = ["add", "note_release", "read"]

NAMES: Final = "#names"

_HOUR_MS: Final = 3_600_000
_MOST: Final = {"q": texts.MOST_QUEUES, "t": texts.MOST_TASKS}


def add(shard: Shard, new: NewSeries) -> None:
    """Add what a worker has counted; see `SupervisorStore.add_series`."""
    at_ms = shard.now_ms() - new.age_ms
    hour = at_ms // _HOUR_MS
    last = (f"m{hour}", f"#{new.worker}")
    if int(shard.series.get(last, "0")) >= new.number:
        return
    _forget(shard, hour)
    for name, counts in new.counts:
        _add(shard, f"m{hour}", name, at_ms // 60_000 % 60, counts)
        _add(shard, f"h{hour // 24}", name, hour % 24, counts)
    shard.series[last] = str(new.number)


def _add(shard: Shard, of: str, name: str, number: int, counts: str) -> None:
    names = shard.series.get((of, NAMES), "")
    kind = name[:1]
    if (of, name) not in shard.series:
        if kind in _MOST and names.count(f"\n{kind}:") >= _MOST[kind]:
            name = f"{kind}:{texts.OTHER}"
        if f"{names}\n".find(f"\n{name}\n") < 0:
            shard.series[of, NAMES] = f"{names}\n{name}"
    shard.series[of, name] = texts.add(shard.series.get((of, name), ""), number, counts)


def _forget(shard: Shard, hour: int) -> None:
    """Delete what is older than is ever read; an hour and a day at a time."""
    for of in (f"m{hour - MOST_HOURS - 2}", f"h{hour // 24 - MOST_DAYS - 2}"):
        for name in shard.series.pop((of, NAMES), "").split("\n")[1:]:
            shard.series.pop((of, name), None)


def read(shard: Shard, names: Sequence[str], *, by_hour: bool) -> Series:
    """Return what was counted; see `Store.series`."""
    now_ms = shard.now_ms()
    hour = now_ms // _HOUR_MS
    day = hour // 24
    if by_hour:
        starts = {f"h{one}": one * 24 * _HOUR_MS for one in range(day - MOST_DAYS, day + 1)}
        each_ms = _HOUR_MS
    else:
        starts = {f"m{one}": one * _HOUR_MS for one in range(hour - MOST_HOURS, hour + 1)}
        each_ms = 60_000
    counts: dict[str, dict[int, list[int]]] = {}
    for name in names:
        found = counts[name] = {}
        for of, start in starts.items():
            lines = texts.counts_of(shard.series.get((of, name), ""))
            found.update((start + number * each_ms, one) for number, one in sorted(lines.items()))
    known = "".join(shard.series.get((f"h{one}", NAMES), "") for one in (day, day - 1))
    releases = [Release(*one) for one in shard.releases.get("", [])]
    return Series(now_ms, releases, sorted(set(known.split("\n")) - {""}), counts)


def note_release(shard: Shard, project: str, release: str) -> None:
    """Note a release, if the last workers of the project that started had another."""
    known = shard.releases.get("", [])
    if next((one[2] for one in known if one[1] == project), None) != release:
        shard.releases[""] = [(shard.now_ms(), project, release), *known][:MOST_RELEASES]
