"""Collect the members of a bulk operation: words that say which task or dead letter it is, and what is shown of it."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from itertools import chain
from typing import Any, Final, NamedTuple

from ..protocol.callback_message import is_callback
from ..protocol.message import Message
from ..protocol.shards import tag_of
from ..stores.letter_cursor import entry_of
from ..stores.owner import Owner
from .filters import DEAD, TaskFilter
from .inspect import TaskView, is_in, message_of, tasks, view_of
from .search import records_of

__all__ = ["SAMPLE", "Member", "collect", "members"]

SAMPLE: Final = 10
"""So many of the members are shown before."""

_HUNDRED: Final = 100


class Member(NamedTuple):
    """A member of a bulk operation.

    Attributes:
        tag: its shard.
        word: what the operation keeps of it: of a task its id; of a dead letter, and of a task that is to be moved,
            ``<entry>,<id>``.
        shown: its id, or its cursor, and its call.
    """

    tag: str
    word: str
    shown: tuple[str, str]


def collect(
    owner: Owner, bulk_id: str, operation: str, where: TaskFilter, changes: Mapping[str, Any]
) -> Generator[None, None, list[tuple[str, str]]]:
    """Note the members of an operation, a page with each step; return some of them to be shown.

    Begun anew, it forgets what was noted before.

    Raises:
        StoreError: the store could not be reached; begin anew.
    """
    store = owner.store
    for tag in store.tags:
        store.put_bulk_members(bulk_id, tag, -1, ())
    numbers = dict.fromkeys(store.tags, 0)
    waiting: dict[str, list[str]] = {tag: [] for tag in store.tags}
    sample: list[tuple[str, str]] = []
    for member in members(owner, operation, where, changes):
        if member is None:
            yield
            continue
        some = waiting[member.tag]
        some.append(member.word)
        if len(sample) < SAMPLE:
            sample.append(member.shown)
        if len(some) == _HUNDRED:
            store.put_bulk_members(bulk_id, member.tag, numbers[member.tag], some)
            numbers[member.tag] += 1
            some.clear()
    for tag, some in waiting.items():
        if some:
            store.put_bulk_members(bulk_id, tag, numbers[tag], some)
    return sample


def members(owner: Owner, operation: str, where: TaskFilter, changes: Mapping[str, Any]) -> Iterator[Member | None]:
    """Yield what an operation is about; None: behind each page."""
    if where.state == DEAD:
        yield from _letters(owner, where)
        return
    seen: set[str] = set()  # a page of delayed ones may begin with what the last one had
    for page in _entries(owner, where) if operation == "move" else _tasks(owner, where):
        fresh: set[str] = set()
        for word, one in page:
            if one.id not in seen and one.id not in fresh and where.accepts(one) and _is_to_go(one, operation, changes):
                yield Member(tag_of(one.id, owner.settings.tags), word, (one.id, _call(one.message)))
            fresh.add(one.id)
        seen = fresh
        yield None


def _is_to_go(view: TaskView, operation: str, changes: Mapping[str, Any]) -> bool:
    """Return whether a task is not in the queue to which it shall be moved, and may be moved at all."""
    if operation != "move":
        return True
    return not is_callback(view.id) and (view.message is None or view.message.queue != changes.get("queue"))


def _letters(owner: Owner, where: TaskFilter) -> Iterator[Member | None]:
    store, shown = owner.store, 0
    reads_messages = where.needs_message or bool(where.words)
    for tag in store.tags:
        before = ""
        while letters := store.shard_dead_letters(tag, before):
            before = letters[-1].cursor
            records = records_of(store, owner.settings.wire, letters) if where.needs_record else {}
            for one in letters:
                message = message_of(one) if reads_messages or shown < SAMPLE else None
                if where.accepts_letter(one, message, records.get(one.id)):
                    shown += 1
                    yield Member(tag, f"{entry_of(one.cursor)},{one.id}", (one.id or one.cursor, _call(message)))
            yield None


def _tasks(owner: Owner, where: TaskFilter) -> Iterator[list[tuple[str, TaskView]]]:
    store, wire, cursor = owner.store, owner.settings.wire, ""
    while True:
        page = tasks(store, wire, where.state, cursor, _HUNDRED, where.queue, where.outcome, where.since_ms)
        yield [(one.id, one) for one in page.tasks]
        cursor = page.cursor
        if not cursor:
            return


def _entries(owner: Owner, where: TaskFilter) -> Iterator[list[tuple[str, TaskView]]]:
    """Yield pages of tasks that wait, each with its entry in its stream, empty if it is in none."""
    store, wire, cursor = owner.store, owner.settings.wire, ""
    is_queued = where.state == "queued"
    while True:
        ids, cursor = store.waiting_ids(
            where.state, cursor, _HUNDRED, where.queue if is_queued else "", entries=is_queued
        )
        words = ids if is_queued else [f",{one}" for one in ids]
        by_id = {task_id: word for word in words if (task_id := word.partition(",")[2])}
        found = [view_of(one, wire) for one in (store.read(list(by_id)) if by_id else ()) if one is not None]
        yield [(by_id[one.id], one) for one in found if is_in(one, where.state)]
        if not cursor:
            return


def _call(message: Message | None) -> str:
    if message is None:
        return "?"
    arguments = chain(map(repr, message.args), (f"{name}={value!r}" for name, value in message.kwargs.items()))
    return f"{message.task}({', '.join(arguments)})"[:200]
