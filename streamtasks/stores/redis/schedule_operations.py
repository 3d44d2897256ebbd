"""Operations on schedules: keep, read, declare and fire them; see `operations`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import batched
from typing import Any, Final

from ...protocol.shards import schedule_tag
from ..schedule_store import DueSchedule, DueSchedules, Firing, NewSchedule, Put, StoredSchedule
from . import schedule_calls
from .batches import MOST, batches
from .operations import Operation, Operations, Shard

__all__ = ["declare", "drop", "due", "fire", "listed", "pause", "put", "read", "undeclare"]

MOST_LISTED: Final = 1000


def _shard_of(operations: Operations, name: str) -> Shard:
    return operations.shards[schedule_tag(name, operations.tags)]


def put(operations: Operations, schedule: NewSchedule, revision: int) -> Operation[Put]:
    """See `ScheduleStore.put_schedule`."""
    [reply] = yield [schedule_calls.put(_shard_of(operations, schedule.name).keys, [schedule], revision)]
    return Put(reply[1])


def drop(operations: Operations, name: str) -> Operation[bool]:
    """See `ScheduleStore.drop_schedule`."""
    [reply] = yield [schedule_calls.drop(_shard_of(operations, name).keys, name)]
    return bool(reply[1])


def pause(operations: Operations, name: str, next_ms: int | None) -> Operation[bool]:
    """See `ScheduleStore.pause_schedule`."""
    [reply] = yield [schedule_calls.pause(_shard_of(operations, name).keys, name, next_ms)]
    return bool(reply[1])


def read(operations: Operations, names: Sequence[str]) -> Operation[list[StoredSchedule | None]]:
    """See `ScheduleStore.schedules`."""
    found: dict[str, StoredSchedule | None] = {}
    left: dict[str, list[str]] = {}  # by tag
    for name in dict.fromkeys(names):
        left.setdefault(schedule_tag(name, operations.tags), []).append(name)
    while left:
        replies = yield [
            schedule_calls.schedules(operations.shards[tag].keys, wanted[:MOST]) for tag, wanted in left.items()
        ]
        for (tag, wanted), reply in zip(list(left.items()), replies, strict=True):
            stored = [_stored(*parts) for parts in batched(reply[1:], 3)]
            found |= zip(wanted, stored, strict=False)
            left[tag] = wanted[len(stored) :]
        left = {tag: wanted for tag, wanted in left.items() if wanted}
    return [found[name] for name in names]


def listed(operations: Operations, limit: int, after: str) -> Operation[list[StoredSchedule]]:
    """See `ScheduleStore.list_schedules`: the next ones of each shard, in the order of all names."""
    limit = min(limit, MOST_LISTED)
    found: list[StoredSchedule] = []
    left = {tag: (after, limit) for tag in operations.tags if limit > 0}  # after which name to go on, and how many
    while left:
        replies = yield [
            schedule_calls.schedules(operations.shards[tag].keys, (), min(most, MOST), last)
            for tag, (last, most) in left.items()
        ]
        for (tag, (_, most)), reply in zip(list(left.items()), replies, strict=True):
            some = [stored for parts in batched(reply[1:], 3) if (stored := _stored(*parts)) is not None]
            found += some
            is_full = bool(reply[0]) or len(some) == MOST
            left[tag] = (some[-1].name, most - len(some)) if some and is_full else ("", 0)
        left = {tag: (last, most) for tag, (last, most) in left.items() if most > 0}
    return sorted(found, key=lambda stored: stored.name)[:limit]


def declare(operations: Operations, tag: str, schedules: Sequence[NewSchedule]) -> Operation[list[Put]]:
    """See `SupervisorScheduleStore.declare_schedules`."""
    answers: list[Put] = []
    for some in batches(schedules, lambda one: len(one.definition), together=_declared_together):
        [reply] = yield [schedule_calls.put(operations.shards[tag].keys, some, 0)]
        answers += map(Put, reply[1:])
    return answers


def undeclare(operations: Operations, tag: str, label: str, since_ms: int) -> Operation[int]:
    """See `SupervisorScheduleStore.undeclare_schedules`."""
    forgotten: int = 0
    while True:
        [reply] = yield [schedule_calls.undeclare(operations.shards[tag].keys, label, since_ms)]
        forgotten += reply[1]
        if not reply[2]:
            return forgotten


def due(operations: Operations, tag: str, passed: Mapping[str, int]) -> Operation[DueSchedules]:
    """See `SupervisorScheduleStore.due_schedules`."""
    [reply] = yield [schedule_calls.due(operations.shards[tag].keys, MOST, passed)]
    found: list[DueSchedule] = []
    for name, what, due_ms in batched(reply[2:], 3):
        revision, _, definition = _parted(what)
        found.append(DueSchedule(name.decode(), revision, definition, due_ms))
    return DueSchedules(reply[0], found, reply[1] if reply[1] >= 0 else None)


def fire(operations: Operations, tag: str, firings: Sequence[Firing]) -> Operation[list[bool]]:
    """See `SupervisorScheduleStore.fire`."""
    answers: list[bool] = []
    for some in batches(firings, _size, messages=lambda firing: max(1, len(firing.messages))):
        [reply] = yield [schedule_calls.fire(operations.shards[tag].keys, some, operations.settings)]
        answers += (code == 1 for code in reply[1:])
    return answers


def _declared_together(one: NewSchedule, other: NewSchedule) -> bool:
    return (one.declared, one.since_ms) == (other.declared, other.since_ms)


def _size(firing: Firing) -> int:
    return sum(len(message.envelope) for message in firing.messages)


def _parted(what: bytes) -> tuple[int, str, bytes]:
    """Return revision, label and definition; see include/schedule.lua."""
    head, _, rest = what.partition(b"\n")
    revision, label, rule = map(int, head.split(b" "))
    return revision, rest[:label].decode(), rest[label + rule :]


def _stored(name: bytes, what: bytes, state: bytes) -> StoredSchedule | None:
    if not what:
        return None
    revision, label, definition = _parted(what)
    words: list[Any] = state.decode().split(" ") if state else ["0", "-", "0", "0", "0", "-"]
    paused, next_ms, fired, missed, last_ms, last_id = words
    return StoredSchedule(
        name.decode(),
        revision,
        definition,
        label,
        paused == "1",
        None if next_ms == "-" else int(next_ms),
        int(fired),
        int(missed),
        int(last_ms),
        "" if last_id == "-" else last_id,
    )
