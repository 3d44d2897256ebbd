"""Keep, read, declare and fire schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import batched
from types import MappingProxyType
from typing import Any, Final

from ....protocol.keys import Keys, stream_name
from ....protocol.shards import schedule_tag
from ....settings import StoreSettings
from ...schedule_store import SILENT_MS, DueSchedule, DueSchedules, Firing, NewSchedule, PutResult, StoredSchedule
from ..batches import MOST, MOST_BYTES, batches
from ..scripts import Call, script
from ..shards import Operation, Shards
from .enqueue import conditions

__all__ = [
    "declare_schedules",
    "delete_schedule",
    "delete_schedule_call",
    "due_call",
    "due_schedules",
    "fire",
    "fire_call",
    "list_schedules",
    "pause_call",
    "pause_schedule",
    "put_call",
    "put_schedule",
    "schedules",
    "schedules_call",
    "shard_schedules",
    "undeclare_call",
    "undeclare_schedules",
]

MOST_LISTED: Final = 1000
NONE: Final[Mapping[str, int]] = MappingProxyType({})


def put_call(keys: Keys, schedules: Sequence[NewSchedule], revision: int, silent_ms: int = SILENT_MS) -> Call:
    """Build put_schedules: up to 100 schedules of one release; ``revision``: the one to be replaced."""
    label, since_ms, release = schedules[0].declared, schedules[0].since_ms, schedules[0].release
    words: list[Any] = []
    for one in schedules:
        words += (one.name, revision, _or_dash(one.next_ms), one.rule, one.definition)
    return script("put_schedules").call(
        keys,
        declared=keys.declared(label),
        came_first=keys.release(f"{label}\0{release}"),
        label=label,
        since_ms=since_ms,
        release=release,
        silent_ms=silent_ms,
        more_args=words,
    )


def undeclare_call(keys: Keys, label: str, silent_ms: int) -> Call:
    """Build undeclare."""
    return script("undeclare").call(keys, declared=keys.declared(label), label=label, silent_ms=silent_ms)


def delete_schedule_call(keys: Keys, name: str) -> Call:
    """Build delete_schedule."""
    return script("delete_schedule").call(keys, name=name)


def pause_call(keys: Keys, name: str, next_ms: int | None) -> Call:
    """Build pause_schedule; ``next_ms``: where to go on, None: pause it."""
    return script("pause_schedule").call(keys, name=name, next_ms=_or_dash(next_ms))


def schedules_call(keys: Keys, names: Sequence[str] = (), most: int = 0, after: str = "") -> Call:
    """Build schedules: those that are named, or the next ``most`` after a name."""
    return script("schedules").call(keys, most=most, after=after, most_bytes=MOST_BYTES, more_args=names)


def due_call(keys: Keys, most: int, passed: Mapping[str, int]) -> Call:
    """Build due_schedules; ``passed``: revisions of schedules that are not wanted."""
    return script("due_schedules").call(
        keys,
        most=most,
        most_bytes=MOST_BYTES,
        passed="\n".join(f"{revision} {name}" for name, revision in passed.items()),
    )


def fire_call(keys: Keys, firings: Sequence[Firing], settings: StoreSettings) -> Call:
    """Build fire: up to 100 messages, all firings together."""
    numbers: dict[str, int] = {}
    words: list[Any] = []
    for firing in firings:
        words += (firing.name, firing.revision, firing.expected_ms, _or_dash(firing.next_ms), firing.missed)
        words += (firing.last_ms, len(firing.messages))
        for message in firing.messages:
            number = numbers.setdefault(stream_name(message.queue, message.priority), len(numbers) + 1)
            words += (message.id, number, conditions(message), message.envelope)
    return script("fire").call(
        keys,
        events_kept=settings.events_kept,
        streams=numbers,
        more_keys=[keys.record(message.id) for firing in firings for message in firing.messages],
        more_args=words,
    )


def _or_dash(ms: int | None) -> int | str:
    return "-" if ms is None else ms


def put_schedule(shards: Shards, schedule: NewSchedule, revision: int) -> Operation[PutResult]:
    """See `ScheduleStore.put_schedule`."""
    [reply] = yield [put_call(shards.of_schedule(schedule.name).keys, [schedule], revision)]
    return PutResult(reply[1])


def delete_schedule(shards: Shards, name: str) -> Operation[bool]:
    """See `ScheduleStore.delete_schedule`."""
    [reply] = yield [delete_schedule_call(shards.of_schedule(name).keys, name)]
    return bool(reply[1])


def pause_schedule(shards: Shards, name: str, next_ms: int | None) -> Operation[bool]:
    """See `ScheduleStore.pause_schedule`."""
    [reply] = yield [pause_call(shards.of_schedule(name).keys, name, next_ms)]
    return bool(reply[1])


def schedules(shards: Shards, names: Sequence[str]) -> Operation[list[StoredSchedule | None]]:
    """See `ScheduleStore.schedules`."""
    found: dict[str, StoredSchedule | None] = {}
    left: dict[str, list[str]] = {}  # by tag
    for name in dict.fromkeys(names):
        left.setdefault(schedule_tag(name, shards.tags), []).append(name)
    while left:
        replies = yield [schedules_call(shards.by_tag[tag].keys, wanted[:MOST]) for tag, wanted in left.items()]
        for (tag, wanted), reply in zip(list(left.items()), replies, strict=True):
            stored = [_stored(*parts) for parts in batched(reply[1:], 3)]
            found |= zip(wanted, stored, strict=False)
            left[tag] = wanted[len(stored) :]
        left = {tag: wanted for tag, wanted in left.items() if wanted}
    return [found[name] for name in names]


def list_schedules(shards: Shards, limit: int = 100, after: str = "") -> Operation[list[StoredSchedule]]:
    """See `ScheduleStore.list_schedules`: the next ones of each shard, in the order of all names."""
    limit = min(limit, MOST_LISTED)
    found: list[StoredSchedule] = []
    left = {tag: (after, limit) for tag in shards.tags if limit > 0}  # after which name to go on, and how many
    while left:
        replies = yield [
            schedules_call(shards.by_tag[tag].keys, (), min(most, MOST), last) for tag, (last, most) in left.items()
        ]
        for (tag, (_, most)), reply in zip(list(left.items()), replies, strict=True):
            some = [stored for parts in batched(reply[1:], 3) if (stored := _stored(*parts)) is not None]
            found += some
            is_full = bool(reply[0]) or len(some) == MOST
            left[tag] = (some[-1].name, most - len(some)) if some and is_full else ("", 0)
        left = {tag: (last, most) for tag, (last, most) in left.items() if most > 0}
    return sorted(found, key=lambda stored: stored.name)[:limit]


def shard_schedules(shards: Shards, tag: str, after: str = "") -> Operation[list[StoredSchedule]]:
    """See `SupervisorScheduleStore.shard_schedules`."""
    [reply] = yield [schedules_call(shards.by_tag[tag].keys, (), MOST, after)]
    return [stored for parts in batched(reply[1:], 3) if (stored := _stored(*parts)) is not None]


def declare_schedules(shards: Shards, tag: str, schedules: Sequence[NewSchedule]) -> Operation[list[PutResult]]:
    """See `SupervisorScheduleStore.declare_schedules`."""
    answers: list[PutResult] = []
    for some in batches(schedules, lambda one: len(one.definition), together=_declared_together):
        [reply] = yield [put_call(shards.by_tag[tag].keys, some, 0)]
        answers += map(PutResult, reply[1:])
    return answers


def undeclare_schedules(shards: Shards, tag: str, label: str, silent_ms: int = SILENT_MS) -> Operation[list[str]]:
    """See `SupervisorScheduleStore.undeclare_schedules`."""
    forgotten: list[str] = []
    while True:
        [reply] = yield [undeclare_call(shards.by_tag[tag].keys, label, silent_ms)]
        forgotten += (name.decode() for name in reply[2:])
        if not reply[1]:
            return forgotten


def due_schedules(shards: Shards, tag: str, passed: Mapping[str, int] = NONE) -> Operation[DueSchedules]:
    """See `SupervisorScheduleStore.due_schedules`."""
    [reply] = yield [due_call(shards.by_tag[tag].keys, MOST, passed)]
    found: list[DueSchedule] = []
    for name, what, due_ms in batched(reply[2:], 3):
        revision, _, definition = _parted(what)
        found.append(DueSchedule(name.decode(), revision, definition, due_ms))
    return DueSchedules(reply[0], found, reply[1] if reply[1] >= 0 else None)


def fire(shards: Shards, tag: str, firings: Sequence[Firing]) -> Operation[list[bool]]:
    """See `SupervisorScheduleStore.fire`."""
    answers: list[bool] = []
    for some in batches(firings, _size, messages=lambda firing: max(1, len(firing.messages))):
        [reply] = yield [fire_call(shards.by_tag[tag].keys, some, shards.settings)]
        answers += (code == 1 for code in reply[1:])
    return answers


def _declared_together(one: NewSchedule, other: NewSchedule) -> bool:
    return (one.declared, one.since_ms, one.release) == (other.declared, other.since_ms, other.release)


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
