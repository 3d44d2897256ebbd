"""Steer a store: pause and resume, audit entries, pages of waiting tasks, dead letters that go."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import batched
from typing import Any, Final

from ....exceptions import InvalidTask, ServerNotSupported
from ....protocol.keys import Keys, check_queue, stream_name
from ....protocol.state import DeadLetter
from ...letter_cursor import entry_of, tag_in
from ...rules.queues import PRIORITIES
from ...steering_types import (
    MOST_AUDITED,
    MOST_PAUSES,
    AuditEntry,
    IdPage,
    Pause,
    check_kind,
    check_request,
    counted_as,
    pause_of,
    queue_of,
    task_paused_by,
)
from ..batches import MOST, MOST_BYTES, chunks
from ..scripts import Call, script
from ..shards import MOST_STREAMS, Operation, Shard, Shards
from .measures import measures_call

__all__ = [
    "audit_entries",
    "discard_dead_call",
    "discard_dead_letters",
    "pause",
    "pause_call",
    "pauses",
    "pauses_call",
    "record_audit",
    "request_worker",
    "request_worker_call",
    "resume",
    "resume_call",
    "resume_task_call",
    "unfinished_call",
    "waiting_ids",
]

_MOST_NAMES: Final = 100
_SHARDS_AT_ONCE: Final = 16


def record_audit(shards: Shards, entry: AuditEntry) -> Operation[None]:
    """See `Store.record_audit`: all entries are on the first shard."""
    text = json.dumps([entry.operation, entry.target, entry.actor, entry.reason])
    keys = shards.by_tag[shards.tags[0]].keys
    operation, outcome = counted_as(entry)
    call = script("audit").call(
        keys, nonce=entry.nonce, entry=text, most=MOST_AUDITED, counted_as=f"{outcome} {operation}"
    )
    yield [call]


def audit_entries(shards: Shards, limit: int = 100, before: str = "") -> Operation[list[AuditEntry]]:
    """See `Store.audit_entries`."""
    keys = shards.by_tag[shards.tags[0]].keys
    [page] = yield [script("audit_entries").call(keys, before=before or "+", most=min(limit, MOST))]
    found = []
    for raw, (_, nonce, _, text) in page:
        cursor = raw.decode()
        operation, target, actor, reason = json.loads(text)
        at_ms = int(cursor.partition("-")[0])
        found.append(AuditEntry(operation, target, actor, reason, at_ms, cursor, nonce.decode()))
    return found


def discard_dead_call(keys: Keys, letters: Sequence[tuple[str, str]], bulk_id: str = "", keep_ms: int = 0) -> Call:
    """Build discard_dead: up to 100 of one shard, of each its cursor and its id."""
    return script("discard_dead").call(
        keys,
        discarded=keys.discarded(bulk_id),
        keep_ms=keep_ms,
        most_bytes=MOST_BYTES,
        more_args=[word for one in letters for word in one],
    )


def discard_dead_letters(shards: Shards, letters: Sequence[DeadLetter]) -> Operation[int]:
    """See `Store.discard_dead_letters`. If neither cursor nor id says on which shard one lies, each is asked."""
    by_tag: dict[str, list[DeadLetter]] = {}
    for letter in letters:
        tag = tag_in(letter.cursor, shards.tags) or (shards.tag_of(letter.id) if letter.id else "")
        for one in [tag] if tag else shards.tags:
            by_tag.setdefault(one, []).append(letter)
    discarded: int = 0
    for tag, its in by_tag.items():
        for some in chunks(its):
            [reply] = yield [
                discard_dead_call(shards.by_tag[tag].keys, [(entry_of(one.cursor), one.id) for one in some])
            ]
            discarded += sum(reply)
    return discarded


# -- waiting tasks -----------------------------------------------------------------------------------


def unfinished_call(
    keys: Keys, kind: str, after: str, most: int, names: Sequence[str] = (), *, entries: bool = False
) -> Call:
    """Build unfinished; ``names``: of streams, for those that are queued; ``entries``: see `Store.waiting_ids`."""
    return script("unfinished").call(
        keys, kind=kind, after=after, most=most, entries=int(entries), more_keys=map(keys.stream, names)
    )


def waiting_ids(
    shards: Shards, kind: str, cursor: str = "", limit: int = 100, queue: str = "", *, entries: bool = False
) -> Operation[IdPage]:
    """See `Store.waiting_ids`. A cursor is JSON: the tag, the stream that is read, and the position in it."""
    check_kind(kind)
    limit = min(limit, MOST)
    tag, name, after = _position(cursor, shards)
    left = shards.tags[shards.tags.index(tag) :]
    ids: list[str] = []
    if name or after:  # within a shard
        position = yield from _rest_of_shard(shards.by_tag[tag].keys, kind, (name, after), limit, queue, ids, entries)
        if position[1]:
            return IdPage(ids, json.dumps([tag, *position]))
        left = left[1:]
    for some in batched(left, _SHARDS_AT_ONCE):
        if len(ids) >= limit:
            return IdPage(ids, json.dumps([some[0], "", ""]))
        keys = [shards.by_tag[one].keys for one in some]
        names: list[list[str]] = [[] for _ in some]
        if kind == "queued":
            names = yield from _first_names(keys, queue)
        most = limit - len(ids)
        pairs = list(zip(keys, names, strict=True))
        calls = [unfinished_call(its_keys, kind, "", most, names_, entries=entries) for its_keys, names_ in pairs]
        replies = yield calls
        for tag, its_names, reply in zip(some, names, replies, strict=True):
            found = [raw.decode() for raw in reply[2:] if raw]
            if len(ids) + len(found) > limit:
                return IdPage(ids, json.dumps([tag, "", ""]))
            ids += found
            if reply[1]:
                return IdPage(ids, json.dumps([tag, its_names[reply[0] - 1] if its_names else "", reply[1].decode()]))
            if len(its_names) >= _MOST_NAMES and not queue:
                return IdPage(ids, json.dumps([tag, its_names[-1], ""]))
    return IdPage(ids, "")


def _first_names(all_keys: Sequence[Keys], queue: str) -> Operation[list[list[str]]]:
    """Return the first names of streams of several shards, or those of a queue, which are the same."""
    if queue:
        return [_names_of(queue) for _ in all_keys]
    replies = yield [measures_call(keys, (), "", _MOST_NAMES) for keys in all_keys]
    return [[raw.decode() for raw in reply[3]] for reply in replies]


def _names_of(queue: str) -> list[str]:
    return sorted(stream_name(check_queue(queue), priority) for priority in PRIORITIES)


def _rest_of_shard(
    keys: Keys, kind: str, position: tuple[str, str], most: int, queue: str, ids: list[str], entries: bool
) -> Operation[tuple[str, str]]:
    """Add ids of a shard behind a position; return the next one: a stream and an entry, or none."""
    if kind == "queued":
        found = yield from _queued(keys, position, most, queue, ids, entries)
        return found
    [reply] = yield [unfinished_call(keys, kind, position[1], most)]
    ids += [raw.decode() for raw in reply[2:]]
    return "", reply[1].decode()


def _queued(
    keys: Keys, position: tuple[str, str], most: int, queue: str, ids: list[str], entries: bool
) -> Operation[tuple[str, str]]:
    """Add ids of entries of a shard behind a position; return the next one: a stream and an entry, or none."""
    name, after = position
    found: int = 0
    while True:
        page = yield from _names(keys, name, queue)
        names = [name, *page] if after else page
        if not names:
            return "", ""
        [reply] = yield [unfinished_call(keys, "queued", after, most - found, names, entries=entries)]
        found += len(reply) - 2
        ids += [raw.decode() for raw in reply[2:] if raw]
        if reply[1]:
            return names[reply[0] - 1], reply[1].decode()
        if queue or len(page) < _MOST_NAMES:
            return "", ""
        name, after = names[-1], ""


def _position(cursor: str, shards: Shards) -> tuple[str, str, str]:
    if not cursor:
        return shards.tags[0], "", ""
    try:
        tag, name, after = json.loads(cursor)
    except (ValueError, TypeError):
        tag = name = after = ""
    if tag not in shards.by_tag:
        raise InvalidTask(f"cursor is {cursor!r}, which is none of this store; begin without one.")
    return tag, name, after


def _names(keys: Keys, behind: str, queue: str) -> Operation[list[str]]:
    """Return names of streams behind one: a page of all, or all of one queue."""
    if queue:
        return [name for name in _names_of(queue) if name > behind]
    [reply] = yield [measures_call(keys, (), behind, _MOST_NAMES)]
    return [raw.decode() for raw in reply[3]]


# -- workers -----------------------------------------------------------------------------------------


def request_worker_call(keys: Keys, worker: str, request: str) -> Call:
    """Build request_worker."""
    return script("request_worker").call(keys, worker=worker, request=request)


def request_worker(shards: Shards, worker: str, request: str) -> Operation[bool]:
    """See `Store.request_worker`: requests lie on the first shard."""
    [known] = yield [request_worker_call(shards.by_tag[shards.tags[0]].keys, worker, check_request(request))]
    return bool(known == 1)


# -- pauses ------------------------------------------------------------------------------------------


def pause_call(keys: Keys, what: str, note: str) -> Call:
    """Build pause."""
    queue = queue_of(what)
    names = [stream_name(queue, priority) for priority in PRIORITIES] if queue else []
    return script("pause").call(keys, what=what, note=note, most=MOST_PAUSES, more_args=names)


def resume_call(keys: Keys, what: str, names: Sequence[str]) -> Call:
    """Build resume; ``names``: streams that the call brings."""
    return script("resume").call(keys, what=what, streams=names)


def resume_task_call(keys: Keys, task: str, names: Sequence[str]) -> Call:
    """Build resume_task; ``names``: streams that the call brings."""
    return script("resume_task").call(keys, task=task, streams=names)


def pauses_call(keys: Keys) -> Call:
    """Build pauses."""
    return script("pauses").call(keys, most=MOST_PAUSES)


def pause(shards: Shards, queue: str, actor: str, reason: str, task: str = "") -> Operation[bool]:
    """See `Store.pause`."""
    what, note = pause_of(queue, task), json.dumps([actor, reason])
    is_new = False
    left: list[Shard] = list(shards.by_tag.values())
    while left:
        replies = yield [pause_call(shard.keys, what, note) for shard in left]
        if any(new < 0 for new, _ in replies):
            raise ServerNotSupported(
                f"{MOST_PAUSES} queues and tasks are paused already; resume some, or pause everything, before "
                f"{queue or task!r}."
            )
        is_new = is_new or any(new for new, _ in replies)
        left = [shard for shard, (_, more) in zip(left, replies, strict=True) if more]
    return is_new


def resume(shards: Shards, queue: str, task: str = "") -> Operation[bool]:
    """See `Store.resume`."""
    what = pause_of(queue, task)
    was_paused = False
    if task:
        was_paused = yield from _resume_task(shards, task)
        return was_paused
    left: list[tuple[Shard, list[str]]] = [(shard, []) for shard in shards.by_tag.values()]
    while left:
        replies = yield [resume_call(shard.keys, what, names) for shard, names in left]
        was_paused = was_paused or any(was for was, _ in replies)
        left = [
            (shard, [raw.decode() for raw in missing][:MOST_STREAMS])
            for (shard, _), (_, missing) in zip(left, replies, strict=True)
            if missing
        ]
    return was_paused


def _resume_task(shards: Shards, task: str) -> Operation[bool]:
    """Let what was set aside go, shard by shard in step, 100 messages in a call."""
    was_paused = False
    left: list[tuple[Shard, list[str]]] = [(shard, []) for shard in shards.by_tag.values()]
    while left:
        replies = yield [resume_task_call(shard.keys, task, names) for shard, names in left]
        was_paused = was_paused or any(was for was, *_ in replies)
        again: list[tuple[Shard, list[str]]] = []
        for (shard, names), (_, missing, more) in zip(left, replies, strict=True):
            if missing:
                # Those that were brought before are done, or come again.
                again.append((shard, [*(raw.decode() for raw in missing), *names][:MOST_STREAMS]))
            elif more:
                again.append((shard, names))
        left = again
    return was_paused


def pauses(shards: Shards) -> Operation[list[Pause]]:
    """See `Store.pauses`."""
    found: dict[str, list[tuple[int, Any]]] = {}
    replies = yield [pauses_call(shard.keys) for shard in shards.by_tag.values()]
    for flat in replies:
        for what, text in batched(flat, 2):
            since, _, note = text.decode().partition(" ")
            found.setdefault(what.decode(), []).append((int(since), json.loads(note)))
    all_pauses = []
    for what, notes in found.items():
        actor, reason = notes[0][1]
        since_ms = min(since for since, _ in notes)
        is_whole = len(notes) == len(shards.tags)
        all_pauses.append(Pause(queue_of(what), since_ms, actor, reason, is_whole, task_paused_by(what)))
    return sorted(all_pauses)
