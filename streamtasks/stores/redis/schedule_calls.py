"""Calls of the scripts that keep, read and fire schedules; see `calls`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...protocol.keys import Keys, stream_name
from ...settings import StoreSettings
from ..schedule_store import Firing, NewSchedule
from .calls import MOST_BYTES, Call, pairs, script, terms

__all__ = ["drop", "due", "fire", "pause", "put", "schedules", "undeclare"]


def put(keys: Keys, schedules: Sequence[NewSchedule], revision: int) -> Call:
    """Build put_schedules: up to 100 schedules with one label and one time; ``revision``: the one to be replaced."""
    label, since_ms = schedules[0].declared, schedules[0].since_ms
    words: list[Any] = [label, since_ms]
    for one in schedules:
        words += (one.name, revision, _or_dash(one.next_ms), one.rule, one.definition)
    return Call(
        script("put_schedules"),
        [
            keys.schedules,
            keys.schedule_states,
            keys.schedule_names,
            keys.scheduled,
            keys.schedule_revision,
            keys.control,
            keys.declarations,
            keys.declared(label),
        ],
        words,
    )


def undeclare(keys: Keys, label: str, since_ms: int) -> Call:
    """Build undeclare."""
    return Call(
        script("undeclare"),
        [
            keys.schedules,
            keys.schedule_states,
            keys.schedule_names,
            keys.scheduled,
            keys.declarations,
            keys.declared(label),
        ],
        [label, since_ms],
    )


def drop(keys: Keys, name: str) -> Call:
    """Build drop_schedule."""
    return Call(
        script("drop_schedule"), [keys.schedules, keys.schedule_states, keys.schedule_names, keys.scheduled], [name]
    )


def pause(keys: Keys, name: str, next_ms: int | None) -> Call:
    """Build pause_schedule; ``next_ms``: where to go on, None: pause it."""
    return Call(
        script("pause_schedule"),
        [keys.schedules, keys.schedule_states, keys.scheduled, keys.control],
        [name, _or_dash(next_ms)],
    )


def schedules(keys: Keys, names: Sequence[str] = (), most: int = 0, after: str = "") -> Call:
    """Build schedules: those that are named, or the next ``most`` after a name."""
    return Call(
        script("schedules"),
        [keys.schedules, keys.schedule_states, keys.schedule_names],
        [most, after, MOST_BYTES, *names],
    )


def due(keys: Keys, most: int, passed: Mapping[str, int]) -> Call:
    """Build due_schedules; ``passed``: revisions of schedules that are not wanted."""
    return Call(
        script("due_schedules"),
        [keys.schedules, keys.scheduled],
        [most, MOST_BYTES, *(word for pair in passed.items() for word in pair)],
    )


def fire(keys: Keys, firings: Sequence[Firing], settings: StoreSettings) -> Call:
    """Build fire: up to 100 messages, all firings together."""
    numbers: dict[str, int] = {}
    words: list[Any] = []
    for firing in firings:
        words += (firing.name, firing.revision, firing.expected_ms, _or_dash(firing.next_ms), firing.missed)
        words += (firing.last_ms, len(firing.messages))
        for message in firing.messages:
            number = numbers.setdefault(stream_name(message.queue, message.priority), len(numbers) + 1)
            words += (message.id, number, terms(message), message.envelope)
    return Call(
        script("fire"),
        [
            keys.schedules,
            keys.schedule_states,
            keys.scheduled,
            keys.messages,
            keys.state,
            keys.delayed,
            keys.ready,
            keys.streams,
            keys.wake,
            keys.control,
            keys.totals,
            keys.done,
            keys.events,
            keys.waiting,
            keys.limits,
            keys.asking,
            *pairs(keys, numbers),
            *(keys.record(message.id) for firing in firings for message in firing.messages),
        ],
        [settings.events_kept, len(numbers), *numbers, *words],
    )


def _or_dash(ms: int | None) -> int | str:
    return "-" if ms is None else ms
