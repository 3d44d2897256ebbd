"""Look at a child's board: show what runs long, free what waits behind it, keep what is finished safe."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple, TypeVar

from streamtasks.stores.supervisor_store import SupervisorStore
from streamtasks.stores.types import Claimed, ClaimId, Outcome

from ..process.board import Board, Slot
from ..process.boot_clock import boot_ns
from ..process.title import LONG_NS
from .shards import on_each

__all__ = ["SHARE_NS", "Watch"]

T = TypeVar("T")

SHARE_NS = 15_000_000
"""An attempt that runs longer is shown as RUNNING, and nothing may wait behind it."""

UNSENT_NS = 8_000_000
"""A finished outcome that its child has not sent for so long is settled from here: with the 10 ms between looks
it is safe within 20 ms."""

UNANSWERED_NS = 500_000_000
"""One that the child has sent, but not heard of for so long, is settled from here as well."""

PROGRESS_NS = 50_000_000
"""Progress of one attempt is stored at most this often: 20 times a second."""


class _Stored(NamedTuple):
    """The last progress of an attempt that was stored: when the attempt started, its version, when (monotonic ns)."""

    started: int = 0
    version: int = 0
    at: int = 0


class Watch:
    """One child's board, seen from the keeper."""

    def __init__(self, store: SupervisorStore, board: Board) -> None:
        self._store = store
        self._board = board
        self._shown: dict[int, int] = {}  # slot -> when the attempt started that is shown as running, ns
        self._progress: dict[int, _Stored] = {}  # slot -> the last progress stored
        self._settled: dict[int, str] = {}  # slot -> outcome settled in the child's name
        self._called_at = 0  # when the child was called to show in its title what it runs, ns; 0: it shows nothing

    def wants_look(self, *, stopping: bool) -> bool:
        """Whether `run_once` would find something to do; cheap."""
        states = self._board.states()
        if not any(states):
            return bool(self._shown or self._settled or self._called_at) or (stopping and self._claim_on_its_way())
        if stopping or self._called_at:
            return True
        now = time.monotonic_ns()
        times, sent_at = self._board.times, self._board.settling_at()
        return any(now - times(slot)[0] >= SHARE_NS for slot in _slots(states, Slot.RUNNING)) or any(
            _overdue(times(slot)[1], sent_at, now) for slot in _slots(states, Slot.FINISHED)
        )

    def _claim_on_its_way(self) -> bool:
        sent, received, invalidated, _ = self._board.sequences()
        return sent not in (received, invalidated)

    async def run_once(self, *, stopping: bool = False) -> int:
        """Look once; return how many messages were acted upon."""
        board = self._board
        states = board.states()
        if not any(states):
            self._shown.clear()
            self._progress.clear()
            self._settled.clear()
        now = time.monotonic_ns()
        starts, before = board.starts(_slots(states, Slot.RUNNING)), now - SHARE_NS
        long = {slot: started for slot, started in starts.items() if started <= before}
        self._show_in_title(now, min(long.values(), default=now))
        acted = 0
        if long or stopping:
            acted += await self._free_the_rest(now, stopping=stopping)
        if long:
            acted += await self._show(long)
            await self._store_progress(long)
        acted += await self._settle_finished()
        return acted

    def _show_in_title(self, now: int, first: int) -> None:
        """Call the child each second while something runs for long, and once more when it has ended."""
        if now - first > LONG_NS:
            if now - self._called_at >= LONG_NS:
                self._called_at = now
                self._board.stacks.call()
        elif self._called_at:
            self._called_at = 0
            self._board.stacks.call()

    def in_flight(self) -> dict[str, dict[str, list[int]]]:
        """Return the claims whose leases must be renewed: shard -> token -> slots."""
        board = self._board
        kinds = (Slot.CLAIMED, Slot.RUNNING, Slot.FINISHED)
        held = (slot for slot, state in enumerate(board.states()) if state in kinds)
        found: dict[str, dict[str, list[int]]] = {}
        for slot in held:
            if not board.enforced(slot):
                found.setdefault(board.tag_of(slot), {}).setdefault(board.claimed(slot).token, []).append(slot)
        return found

    def _steady(self, slot: int, state: Slot, read: Callable[[int], T]) -> tuple[tuple[int, int], str, T] | None:
        """Read a slot that is in this state: its times, its shard, and what ``read`` returns of it.

        None if it is not in that state, or the child reused it while it was read.

        The child works on while we look. To reuse a slot it must start another attempt, which changes the times.
        """
        board = self._board
        before = board.times(slot)
        if board.states()[slot] != state:
            return None
        try:
            tag, value = board.tag_of(slot), read(slot)
        except (IndexError, ValueError):
            return None  # half of one attempt and half of another
        return (before, tag, value) if board.states()[slot] == state and board.times(slot) == before else None

    async def _show(self, attempts: dict[int, int]) -> int:
        """Publish RUNNING; ``attempts``: slot -> start. Many may run for long, and each is read in full only once."""
        board, known = self._board, self._shown
        new: defaultdict[str, list[tuple[Claimed, int]]] = defaultdict(list)
        shown: dict[int, int] = {}
        for slot, began in attempts.items():
            if known.get(slot) == began or (found := self._steady(slot, Slot.RUNNING, board.claimed)) is None:
                continue
            (started, _), tag, claimed = found
            shown[slot] = started
            if not board.start_recorded(slot):
                new[tag].append((claimed, (time.monotonic_ns() - started) // 1_000_000))
        await on_each(new, self._store.mark_running)
        known |= shown
        return sum(map(len, new.values()))

    async def _free_the_rest(self, now: int, *, stopping: bool) -> int:
        """Hand back what has not started, on the board or still on its way to the child."""
        board = self._board
        sent, received, invalidated, sent_at = board.sequences()
        on_its_way = sent not in (received, invalidated) and (stopping or now - sent_at >= SHARE_NS)
        if not on_its_way and Slot.CLAIMED not in board.states():
            return 0
        back: defaultdict[str, list[Claimed]] = defaultdict(list)
        alone: set[str] = set()
        lost_claim = None
        with board.locked(timeout_s=0.05) as got:
            if not got:
                return 0  # the child is starting something at this very moment, or is stopped
            now_boot = boot_ns()
            for slot in _slots(board.states(), Slot.CLAIMED):
                if not stopping and now_boot - board.held_since(slot) < SHARE_NS:
                    continue  # it was claimed ahead, for what ends soon
                claimed = board.claimed(slot)
                back[board.tag_of(slot)].append(claimed)
                if board.runs_alone(slot):
                    alone.add(claimed.id)
                board.set_returned(slot)
            sent, received, invalidated, _ = board.sequences()
            if on_its_way and sent not in (received, invalidated):
                board.invalidate(sent)
                lost_claim = board.tag, ClaimId(board.consumer, sent)
                back[board.tag] += ()
            if back:
                board.hand_back_begins()

        def hand_back(tag: str, some: list[Claimed]) -> Awaitable[list[bool]]:
            invalidate = lost_claim[1] if lost_claim and lost_claim[0] == tag else None
            return self._store.hand_back(tag, some, invalidate=invalidate, alone=alone)

        if back:
            try:
                await on_each(back, hand_back)
            finally:
                board.hand_back_ended()
        return sum(map(len, back.values()))

    async def _settle_finished(self) -> int:
        """Settle in the child's name what it finished a while ago and could not settle itself."""
        outcomes: defaultdict[str, list[Outcome]] = defaultdict(list)
        keys: dict[int, str] = {}
        now, sent_at = time.monotonic_ns(), self._board.settling_at()
        for slot in _slots(self._board.states(), Slot.FINISHED):
            found = self._steady(slot, Slot.FINISHED, self._board.outcome)
            if found is None or not _overdue(found[0][1], sent_at, now):
                continue
            _, tag, outcome = found
            key = f"{outcome.token} {outcome.id}"
            if self._settled.get(slot) != key:
                keys[slot] = key
                outcomes[tag].append(outcome)
        await on_each(outcomes, lambda tag, some: self._store.settle(tag, some, callbacks="revoked"))
        self._settled |= keys
        return len(keys)

    async def _store_progress(self, slots: Iterable[int]) -> None:
        reports: defaultdict[str, list[tuple[Claimed, bytes]]] = defaultdict(list)
        stored: dict[int, _Stored] = {}
        now = time.monotonic_ns()
        for slot in slots:
            if not self._board.has_reported(slot):
                continue
            last = self._progress.get(slot, _Stored())
            if last.started != self._board.times(slot)[0]:
                last = _Stored()  # versions begin anew with each attempt
            if now - last.at < PROGRESS_NS:
                continue
            found = self._steady(slot, Slot.RUNNING, self._board.claimed)
            news = self._board.reported(slot, last.version)
            if found is None or news is None or self._board.times(slot) != found[0]:
                continue
            stored[slot] = _Stored(found[0][0], news[0], now)
            reports[found[1]].append((found[2], news[1]))
        if reports:
            await on_each(reports, self._store.progress)
        self._progress |= stored


def _slots(states: bytes, wanted: Slot) -> list[int]:
    if wanted not in states:
        return []
    return [slot for slot, state in enumerate(states) if state == wanted]


def _overdue(finished_at: int, sent_at: int, now: int) -> bool:
    """Whether a finished outcome must be settled in the child's name."""
    return now - finished_at >= (UNSENT_NS if finished_at > sent_at else UNANSWERED_NS)
