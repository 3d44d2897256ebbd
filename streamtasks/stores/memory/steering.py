"""Pause and resume, ask workers, page through what waits, keep audit entries, delete dead letters."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from ...exceptions import ServerNotSupported
from ...protocol.state import DeadLetter
from ...settings import StoreSettings
from ..event_cursor import cursor_of, positions_in
from ..inspection_types import LATEST, WATCH_MS, Event, Events
from ..letter_cursor import entry_of, tag_in
from ..rules import phases
from ..steering_types import (
    MOST_PAUSES,
    AuditEntry,
    IdPage,
    Pause,
    before_of,
    check_kind,
    check_request,
    counted_as,
    pause_of,
    queue_of,
    task_paused_by,
)
from .limits import wait
from .server import MemoryServer
from .shard import Shard
from .state import NOBODY, PAUSED, SUSPECTS, Stream, entry_age

__all__ = ["SteeringMethods"]

MOST: Final = 100


def pause(shard: Shard, queue: str, actor: str, reason: str, task: str = "") -> bool:
    """Let nothing more be claimed of a queue, of a task, or at all."""
    what = pause_of(queue, task)
    known = shard.paused.get(what)
    if known is None and len(shard.paused) >= MOST_PAUSES:
        raise ServerNotSupported(
            f"{MOST_PAUSES} queues and tasks are paused already; resume some, or pause everything, before "
            f"{queue or task!r}."
        )
    shard.paused[what] = (shard.now_ms() if known is None else known[0], actor, reason)
    if task:
        return known is None
    held = {name for name in shard.ready if not queue or name.partition(":")[2] == queue}
    shard.ready -= held
    shard.paused_ready |= held
    return known is None


def resume(shard: Shard, queue: str, task: str = "") -> bool:
    """End a pause; what waited can be claimed."""
    known = shard.paused.pop(pause_of(queue, task), None)
    if task:
        for stream in sorted(shard.streams.values(), key=lambda one: one.name):
            _let_go(shard, stream, PAUSED + task)
    for name in [one for one in shard.paused_ready if not shard.is_paused(one.partition(":")[2])]:
        shard.paused_ready.discard(name)
        shard.make_ready(shard.stream(name))
    return known is not None


def _let_go(shard: Shard, stream: Stream, owner: str) -> None:
    """Return the entries of a paused task to their places; messages with a limit wait for that."""
    for entry in stream.owned_by(owner, len(stream.owners)):
        message = shard.live.get(stream.entries[entry])
        limit = None if message is None else message.active_limit
        if message is None or message.phase not in (phases.QUEUED, phases.SUSPECT):
            stream.drop(entry)  # revoked meanwhile
        elif limit is not None:
            stream.drop(entry)
            message.suspect = message.suspect or message.phase == phases.SUSPECT
            wait(shard, message, limit)
        else:
            stream.owners[entry] = SUSPECTS if message.phase == phases.SUSPECT else NOBODY
            shard.make_ready(stream)


def request_worker(shard: Shard, worker: str, request: str) -> bool:
    """Leave a request for a worker, which takes it with its next beat; return whether it is registered."""
    if worker not in shard.workers:
        return False
    shard.worker_requests[worker] = request
    shard.push("control", f"worker {worker}")
    return True


def waiting(shard: Shard, kind: str, queue: str, *, entries: bool = False) -> list[tuple[str, str]]:
    """Return all that waits, in order, each with its place in that order; ``entries``: see `Store.waiting_ids`."""
    if kind == "queued":
        streams = sorted(
            (stream for stream in shard.streams.values() if not queue or stream.queue == queue),
            key=lambda stream: stream.name,
        )
        return [
            (
                f"{stream.name} {entry_age(entry)[0]:020}-{entry_age(entry)[1]:020}",
                f"{entry},{stream.entries[entry]}" if entries else stream.entries[entry],
            )
            for stream in streams
            for entry in sorted(stream.entries, key=entry_age)
        ]
    wanted = phases.DELAYED if kind == "delayed" else phases.LIMITED
    found = [message for message in shard.live.values() if message.phase == wanted]
    if kind == "delayed":
        return sorted((f"{shard.delayed.due_ms(message.id):020} {message.id}", message.id) for message in found)
    places = {task_id: place for waiting in shard.waiting.values() for task_id, place in waiting.items()}
    found.sort(key=lambda message: (message.limit.name if message.limit else "", places.get(message.id, (0, 0, ""))))
    return [(f"{number:020}", message.id) for number, message in enumerate(found)]


def discard(shard: Shard, letter: DeadLetter) -> bool:
    """Delete a dead letter; return whether it was there."""
    for one in shard.dead:
        if (one[0].cursor, one[0].id) == (entry_of(letter.cursor), letter.id):
            shard.dead.remove(one)
            shard.dead_bytes -= one[1]
            return True
    return False


class SteeringMethods:
    """The methods of `SteeringStore`, for `MemoryStore`."""

    settings: StoreSettings
    server: MemoryServer

    @property
    def _all_shards(self) -> list[Shard]:
        """All shards; only while the server's lock is held."""
        return [self.server.shard(self.settings, tag) for tag in self.settings.tags]

    def record_audit(self, entry: AuditEntry) -> None:
        """See `Store.record_audit`."""
        with self.server.step():
            first = self._all_shards[0]
            if all(one.nonce != entry.nonce for one in first.audit):
                first.audit.append(entry._replace(at_ms=first.now_ms(), cursor=first.new_entry()))
                first.audit_counts[counted_as(entry)] += 1

    def audit_entries(self, limit: int = 100, before: str = "") -> list[AuditEntry]:
        """See `Store.audit_entries`."""
        with self.server.lock:
            entries = list(reversed(self._all_shards[0].audit))
        if before:
            entries = [one for one in entries if entry_age(one.cursor) < entry_age(before)]
        return entries[: min(limit, MOST)]

    def discard_dead_letters(self, letters: Sequence[DeadLetter]) -> int:
        """See `Store.discard_dead_letters`."""
        with self.server.step():
            discarded = 0
            for letter in letters:
                tag = tag_in(letter.cursor, self.settings.tags)
                shards = [self.server.shard(self.settings, tag)] if tag else self._all_shards
                discarded += sum(discard(shard, letter) for shard in shards)
            return discarded

    def waiting_ids(
        self, kind: str, cursor: str = "", limit: int = 100, queue: str = "", *, entries: bool = False
    ) -> IdPage:
        """See `Store.waiting_ids`."""
        check_kind(kind)
        most = min(limit, MOST)
        with self.server.lock:
            found = [
                (f"{number:06} {place}", task_id)
                for number, shard in enumerate(self._all_shards)
                for place, task_id in waiting(shard, kind, queue, entries=entries)
            ]
        left = [one for one in found if one[0] > cursor]
        return IdPage([task_id for _, task_id in left[:most]], left[most - 1][0] if len(left) > most else "")

    def finished_ids(self, outcomes: Collection[str], cursor: str = "", limit: int = 100, since_ms: int = 0) -> IdPage:
        """See `Store.finished_ids`."""
        before_ms = before_of(cursor)
        with self.server.lock:
            found = [
                (record.finished_ms, task_id)
                for shard in self._all_shards
                for task_id, record in shard.records.items()
                if record.state in outcomes
                and not record.deleted
                and record.finished_ms >= since_ms
                and (not before_ms or record.finished_ms < before_ms)
            ]
        ids: list[str] = []
        for at_ms, task_id in sorted(found, reverse=True):
            if len(ids) >= limit and at_ms < before_ms:
                return IdPage(ids, str(before_ms))
            before_ms = at_ms
            ids.append(task_id)
        return IdPage(ids, "")

    def request_worker(self, worker: str, request: str) -> bool:
        """See `Store.request_worker`."""
        check_request(request)
        with self.server.step():
            return request_worker(self._all_shards[0], worker, request)

    def pause(self, queue: str, actor: str, reason: str, task: str = "") -> bool:
        """See `Store.pause`."""
        with self.server.step():
            return sum(pause(shard, queue, actor, reason, task) for shard in self._all_shards) > 0

    def resume(self, queue: str, task: str = "") -> bool:
        """See `Store.resume`."""
        with self.server.step():
            return sum(resume(shard, queue, task) for shard in self._all_shards) > 0

    def pauses(self) -> list[Pause]:
        """See `Store.pauses`."""
        with self.server.lock:
            first = self._all_shards[0]
            return sorted(
                Pause(queue_of(what), *about, task=task_paused_by(what)) for what, about in first.paused.items()
            )

    def events(self, after: str = "", limit: int = 100) -> Events:
        """See `Store.events`. A cursor holds per shard how many events were returned of it."""
        if after == LATEST:
            with self.server.lock:
                ends = {
                    tag: self.server.shard(self.settings, tag).events_dropped
                    + len(self.server.shard(self.settings, tag).events)
                    for tag in self.settings.tags
                }
            return Events([], cursor_of(ends))
        seen = {tag: int(position.partition("-")[0]) for tag, position in positions_in(after).items()}
        found: list[Event] = []
        with self.server.lock:
            for tag in self.settings.tags:
                shard = self.server.shard(self.settings, tag)
                skipped = max(0, seen.get(tag, 0) - shard.events_dropped)
                some = list(shard.events)[skipped : skipped + limit]
                seen[tag] = shard.events_dropped + skipped + len(some)
                found += some
        found.sort(key=lambda event: event.at_ms)
        return Events(found, cursor_of(seen))

    def watch_events(self) -> None:
        """See `Store.watch_events`."""
        with self.server.lock:
            for tag in self.settings.tags:
                shard = self.server.shard(self.settings, tag)
                shard.watched_until_ms = shard.now_ms() + WATCH_MS

    def stack(self, task_id: str, nonce: str, *, ask: bool) -> bytes | None:  # noqa: ARG002
        """See `Store.stack`.

        Raises:
            ServerNotSupported: always.
        """
        raise ServerNotSupported(
            f"The stack of {task_id} cannot be asked for: with a store in memory it runs in this process; "
            "sys._current_frames() has it."
        )

    def answer_stack(self, task_id: str, nonce: str, answer: bytes) -> None:
        """See `SupervisorStore.answer_stack`: nobody asks."""

    def queue_counts(self, queue: str, minutes: int) -> tuple[int, int]:  # noqa: ARG002
        """See `Store.queue_counts`: nothing is counted by queues."""
        return 0, 0
