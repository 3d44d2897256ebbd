"""Plan and apply bulk operations: some members at a time, each once, at a rate; what was interrupted goes on."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator
from typing import Final

from ..exceptions import StreamTasksError
from ..stores.bulk_types import ACTIVE_BULKS, BulkCounts, BulkLease, BulkState, Move, Replay
from ..stores.letter_cursor import entry_of
from ..stores.owner import Owner
from ..stores.types import Revocation
from .audit import record
from .bulk import Bulk, find
from .bulk_members import collect
from .control import check_repeatable, moved, repeated, repeated_id
from .filter_text import parse_filter

__all__ = ["LEASE_MS", "BulkRunner", "run"]

LEASE_MS: Final = 3_000
"""So long after the end of a worker another one goes on with what it had taken, ms."""

_STEP_S: Final = 0.2
_MOST_PROBLEMS: Final = 5

logger = logging.getLogger("streamtasks.operations")


class BulkRunner:
    """Applies the bulk operations of an app, one after the other. All calls come from one thread.

    Any number may do so at the same time: an operation is one's for `LEASE_MS`, and each member is done once even if
    two are at it.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._store = owner.store
        self._lease: BulkLease | None = None
        self._left: list[str] = []
        self._problems: list[str] = []
        self._next_s = 0.0
        self._planning: Generator[None, None, list[tuple[str, str]]] | None = None
        self._steps = {
            "replay": self._replay,
            "discard": self._discard,
            "revoke": self._revoke,
            "retry": self._retry,
            "move": self._move,
        }

    def run_once(self) -> float | None:
        """Go on for some tenths of a second; return seconds until there is more, None: nothing is to be applied.

        Raises:
            StoreError: the store could not be reached; call it again.
        """
        lease = self._store.take_bulk(LEASE_MS, self._lease)
        if lease.bulk is None:
            was_mine, self._lease, self._planning = self._lease is not None, None, None
            if was_mine:  # aborted, or lost
                return 0.0
            return None if lease.wait_ms is None else lease.wait_ms / 1000
        bulk = Bulk.of(lease.bulk)
        if self._lease is None:
            self._left = list(self._store.tags)
            self._problems = list(bulk.problems)
            self._next_s = time.monotonic()
        is_new, self._lease = self._lease is None, lease
        if bulk.state is BulkState.REQUESTED:
            self._plan(bulk, is_new=is_new)
            return 0.0
        until_s = time.monotonic() + _STEP_S
        while self._left and time.monotonic() < until_s:
            if bulk.state is BulkState.UNDOING:
                is_over = self._restore(bulk)
            else:
                wait_s = self._next_s - time.monotonic()
                if wait_s > _STEP_S:
                    return _STEP_S
                time.sleep(max(0.0, wait_s))
                is_over = self._apply_some(bulk)
            if is_over:
                self._left.pop(0)
        if not self._left:
            self._finish(bulk)
        return 0.0

    def _plan(self, bulk: Bulk, *, is_new: bool) -> None:
        """Collect members for some tenths of a second; what another one has begun is begun anew."""
        if is_new or self._planning is None:
            where = parse_filter(bulk.filter)
            self._planning = collect(self._owner, bulk.id, bulk.operation, where, bulk.changes)
        until_s = time.monotonic() + _STEP_S
        while time.monotonic() < until_s:
            try:
                next(self._planning)
            except StopIteration as end:
                self._lease = self._planning = None
                note = bulk.note(sample=end.value)
                self._store.put_bulk(bulk.id, BulkState.PLANNED, (BulkState.REQUESTED,), note)
                return

    def _finish(self, bulk: Bulk) -> None:
        self._lease = None
        known = find(self._owner, bulk.id)
        counts = known.counts
        undone = bulk.state is BulkState.UNDOING
        text = f"restored {counts.restored}" if undone else (
            f"applied {counts.applied}, skipped {counts.skipped}, refused {counts.refused}"
        )  # fmt: skip
        record(self._store, f"{bulk.operation} {'undone' if undone else 'finished'}", f"bulk {bulk.id}: {text}",
               bulk.actor, bulk.reason)  # fmt: skip
        state = BulkState.UNDONE if undone else BulkState.FINISHED
        self._store.put_bulk(bulk.id, state, (bulk.state,), known.note(problems=self._problems))
        logger.info("bulk %s %s of %s: %s", bulk.operation, bulk.id, bulk.actor, text)

    def _restore(self, bulk: Bulk) -> bool:
        restored, more = self._store.restore_dead_letters(bulk.id, self._left[0])
        self._store.advance_bulk(bulk.id, self._left[0], 0, BulkCounts(restored=restored))
        return not more

    def _apply_some(self, bulk: Bulk) -> bool:
        """Do the next members of the first shard that is left; return whether there are no more."""
        tag = self._left[0]
        before, members = self._store.bulk_members(bulk.id, tag)
        if not members:
            return True
        if bulk.rate:
            members = members[: max(1, min(len(members), int(bulk.rate * _STEP_S / 2)))]
            self._next_s = max(self._next_s, time.monotonic() - _STEP_S) + len(members) / bulk.rate
        applied, refused = self._steps[bulk.operation](bulk, tag, members)
        done = len(members)
        counts = BulkCounts(0, done, applied, done - applied - refused, refused)
        self._store.advance_bulk(bulk.id, tag, before.done, counts)
        return before.done + done >= before.total

    def _refuse(self, error: Exception) -> None:
        if len(self._problems) < _MOST_PROBLEMS:
            self._problems.append(str(error)[:300])

    def _replay(self, bulk: Bulk, tag: str, members: list[str]) -> tuple[int, int]:
        owner = self._owner
        pairs = [member.partition(",")[::2] for member in members]
        letters = self._store.dead_letters_at(tag, [cursor for cursor, _ in pairs])
        refused, replayed = 0, []
        for letter in letters:
            try:
                occasion = _occasion(bulk, letter.id, entry_of(letter.cursor))
                replayed.append((letter, repeated(owner, letter.message(), occasion, bulk.changes)))
            except StreamTasksError as error:
                refused += 1
                self._refuse(error)
        applied = sum(code is not Replay.GONE for code in self._store.replay_dead_letters(replayed))
        there = {entry_of(letter.cursor) for letter in letters}
        gone = [repeated_id(owner, task_id, _occasion(bulk, task_id, cursor))
                for cursor, task_id in pairs if cursor not in there and task_id]  # fmt: skip
        if gone:  # those that this operation has enqueued, before it was interrupted, count as applied
            applied += sum(one is not None for one in self._store.read(gone))
        return applied, refused

    def _discard(self, bulk: Bulk, tag: str, members: list[str]) -> tuple[int, int]:
        pairs = [(cursor, task_id) for cursor, _, task_id in (member.partition(",") for member in members)]
        return sum(self._store.discard_for_bulk(bulk.id, tag, pairs)), 0

    def _revoke(self, bulk: Bulk, tag: str, members: list[str]) -> tuple[int, int]:  # noqa: ARG002
        answers = self._store.revoke_many(members)
        return sum(one in (Revocation.GONE, Revocation.MARKED) for one in answers), 0

    def _retry(self, bulk: Bulk, tag: str, members: list[str]) -> tuple[int, int]:  # noqa: ARG002
        new, refused = [], 0
        for found in self._store.read(members):
            if found is None:
                continue
            try:
                check_repeatable(found)
                new.append(repeated(self._owner, found.message(), f"{found.id}\0{found.finished_ms}", {}))
            except StreamTasksError as error:
                refused += 1
                self._refuse(error)
        return sum(self._store.enqueue(new)) if new else 0, refused

    def _move(self, bulk: Bulk, tag: str, members: list[str]) -> tuple[int, int]:
        owner, queue = self._owner, bulk.changes["queue"]
        entries = {task_id: entry for entry, _, task_id in (member.partition(",") for member in members)}
        moves: list[Move] = []
        refused = applied = 0
        for found in self._store.read(list(entries)):
            if found is None or found.is_finished:
                continue
            try:
                message = found.message()
                if message.queue == queue:  # this operation has done it, before it was interrupted
                    applied += 1
                else:
                    moves.append(moved(owner, message, queue, entries[found.id]))
            except StreamTasksError as error:
                refused += 1
                self._refuse(error)
        return applied + sum(self._store.move(tag, moves)), refused


def _occasion(bulk: Bulk, task_id: str, cursor: str) -> str:
    return f"{task_id}\0{cursor}\0{bulk.id}"


def run(owner: Owner, bulk_id: str) -> Bulk:
    """Plan and apply bulk operations in this process until one of them waits for nobody any more; return it.

    For a process that waits, where no worker is live.

    Raises:
        TaskNotFound: it is not known.
        StoreError: the store could not be reached; what was done stays, and it goes on when it is called again.
    """
    runner = BulkRunner(owner)
    while (bulk := find(owner, bulk_id)).state in ACTIVE_BULKS:
        time.sleep(min(1.0, runner.run_once() or 0.0))
    return bulk
