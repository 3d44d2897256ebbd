"""Store, pause, list, fire and delete schedules (the scripts of schedules)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from ..schedule_store import SILENT_MS, DueSchedule, DueSchedules, Firing, NewSchedule, PutResult, StoredSchedule
from .enqueue import enqueue
from .shard import Shard
from .state import Schedule

__all__ = ["declare", "delete", "due", "fire", "page", "pause", "put", "stored", "undeclare"]

MOST: Final = 100
NO_REVISIONS: Final[Mapping[str, int]] = MappingProxyType({})


def put(shard: Shard, new: NewSchedule, revision: int) -> PutResult:
    """Store a schedule that is made at run time, in the place of a revision (0: none), or one that code declares."""
    known, now_ms = shard.schedules.get(new.name), shard.now_ms()
    outdated = bool(new.declared) and _is_outdated(shard, new)
    mine = known is not None and known.declared == new.declared
    if known is not None and not mine:
        other = known.declared
        if not (new.declared and other) or _heard(shard, (other, "")) is not None:
            return PutResult.TAKEN
    same = known is not None and mine and (known.definition, known.rule) == (new.definition, new.rule)
    if known is not None and (mine or not outdated):
        known.declared_ms = now_ms
    if outdated:
        return PutResult.UNCHANGED if same else PutResult.CONFLICT
    if same:
        return PutResult.UNCHANGED
    if not new.declared and revision != (0 if known is None else known.revision):
        return PutResult.CONFLICT
    if known is None:
        known = shard.schedules[new.name] = Schedule(0, b"", new.rule, new.declared, now_ms, new.next_ms)
    if known.rule != new.rule:
        known.next_ms = new.next_ms
    known.declared = new.declared
    shard.schedule_revision += 1
    known.revision, known.definition, known.rule = shard.schedule_revision, new.definition, new.rule
    _push_next(shard, new.name)
    return PutResult.STORED


def declare(shard: Shard, schedules: Sequence[NewSchedule]) -> list[PutResult]:
    """Store schedules that code declares."""
    return [put(shard, one, 0) for one in schedules]


def _heard(shard: Shard, of: tuple[str, str]) -> int | None:
    """Return since when declarations of a project, or a release, count, ms.

    None: no worker has declared them lately. 0: unknown, because the clock went back.
    """
    first_ms, last_ms = shard.declarations.get(of, (0, 0))
    now_ms = shard.now_ms()
    if abs(now_ms - last_ms) > SILENT_MS:
        return None
    return first_ms if first_ms <= now_ms else 0


def _is_outdated(shard: Shard, new: NewSchedule) -> bool:
    """Whether a later release declares; if not, note that this one does."""
    since_ms, now_ms = new.since_ms, shard.now_ms()
    if new.release:
        of = (new.declared, new.release)
        heard_ms = _heard(shard, of)
        since_ms = heard_ms or since_ms
        shard.declarations[of] = (since_ms, now_ms)
    latest_ms = _heard(shard, (new.declared, ""))
    if latest_ms is not None and latest_ms > since_ms:
        return True
    shard.declarations[new.declared, ""] = (since_ms, now_ms)
    return False


def undeclare(shard: Shard, label: str, silent_ms: int = SILENT_MS) -> list[str]:
    """Delete schedules of a project that no worker has declared for longer; return their names."""
    before_ms = shard.now_ms() - silent_ms
    gone = [
        name for name, one in shard.schedules.items() if label and one.declared == label and one.declared_ms < before_ms
    ]
    for name in gone:
        del shard.schedules[name]
    return gone


def delete(shard: Shard, name: str) -> bool:
    """Delete a schedule; False: there is none of that name."""
    return shard.schedules.pop(name, None) is not None


def pause(shard: Shard, name: str, next_ms: int | None) -> bool:
    """Pause a schedule (None), or let it go on with this occurrence; False: there is none of that name."""
    known = shard.schedules.get(name)
    if known is None:
        return False
    if known.paused == (next_ms is not None):
        known.paused = next_ms is None
        known.next_ms = known.next_ms if next_ms is None else next_ms
        _push_next(shard, name)
    return True


def stored(shard: Shard, name: str) -> StoredSchedule | None:
    """Return what is known of a schedule."""
    one = shard.schedules.get(name)
    if one is None:
        return None
    return StoredSchedule(
        name,
        one.revision,
        one.definition,
        one.declared,
        one.paused,
        one.next_ms,
        one.fired,
        one.missed,
        one.last_ms,
        one.last_id,
    )


def page(shard: Shard, after: str = "") -> list[StoredSchedule]:
    """Return the next schedules in the order of their names."""
    names = sorted(name for name in shard.schedules if name > after)[:MOST]
    return [one for name in names if (one := stored(shard, name)) is not None]


def due(shard: Shard, passed: Mapping[str, int] = NO_REVISIONS) -> DueSchedules:
    """Return what is to be fired, the longest due first."""
    now_ms = shard.now_ms()
    waiting = [
        (due_ms, name, one)
        for name, one in shard.schedules.items()
        if (due_ms := one.due_ms) is not None and passed.get(name) != one.revision
    ]
    waiting.sort(key=lambda part: part[:2])
    found = [
        DueSchedule(name, one.revision, one.definition, due_ms) for due_ms, name, one in waiting if due_ms <= now_ms
    ][:MOST]
    later = waiting[len(found) :]
    return DueSchedules(now_ms, found, max(0, later[0][0] - now_ms) if later else None)


def fire(shard: Shard, firing: Firing) -> bool:
    """Accept what a schedule brings and move it on; False: it is not what the caller saw, or not due."""
    known = shard.schedules.get(firing.name)
    if (
        known is None
        or known.revision != firing.revision
        or known.due_ms != firing.expected_ms
        or not (firing.expected_ms <= shard.now_ms() or _brings_forward(firing))
    ):
        return False
    known.fired += sum(enqueue(shard, firing.messages))
    if firing.messages:
        known.last_ms, known.last_id = firing.last_ms, firing.messages[-1].id
    known.next_ms = firing.next_ms
    known.missed += firing.missed
    return True


def _brings_forward(firing: Firing) -> bool:
    """Whether a firing only brings an occurrence forward that lies too far ahead: the clock went back."""
    return not firing.messages and firing.next_ms is not None and firing.next_ms < firing.expected_ms


def _push_next(shard: Shard, name: str) -> None:
    """Push that a schedule is the next one due."""
    waiting = [(one.due_ms, other) for other, one in shard.schedules.items() if one.due_ms is not None]
    if waiting and min(waiting)[1] == name:
        shard.push("control", "schedule")
