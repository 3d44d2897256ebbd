"""The threads and async executors: many attempts at once in one child, on one event loop that nothing blocks.

Coroutine tasks run on the loop, sync tasks on threads; the rest is as in the inline executor. What will start soon is
claimed ahead, so that no place is empty while an exchange is on its way; what has not started after 15 ms, the keeper
hands back. A task with ``executor="inline"`` runs on this thread, outside the loop, when nothing else is in hand.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial

from streamtasks.exceptions import StoreError
from streamtasks.stores.readable import readable
from streamtasks.stores.types import Claimed, Exchange, Outcome

from ..process.board import Board
from ..process.counters import Counters
from ..process.fork_guard import end_copy, is_copy
from ..process.lifeline import STOP_SIGNALS, Lifeline
from ..process.process_state import ProcessState
from .attempt_counts import ConcurrentCounts
from .broken_process import end_after_attempt, end_broken
from .guards import INTERRUPT, CoroutineGuard, Guard, MainGuard, ThreadGuard
from .inline import OTHERS_PAUSE_S, reporter
from .link import MOST, Link
from .lookahead import GATHER_S, Lookahead
from .own_loop import complete, listen, new_loop, own_task
from .prepared import Prepared
from .runner import Runner
from .task_coroutines import TaskCoroutines
from .task_threads import TaskThreads

__all__ = ["ConcurrentExecutor"]

LOOK_S = 0.1
"""A child that empties its hands for what must run alone looks so often, seconds, whether another one has taken it."""


class ConcurrentExecutor:
    """Claims up to its free places, starts each message at once, settles what has finished.

    Args:
        threads: sync tasks at once; 0 if only coroutine tasks run side by side (sync ones then one at a time).
        coroutines: coroutine tasks at once; 0 likewise.
        counters: for metrics and charts; only the thread of the loop uses them.
    """

    def __init__(
        self,
        link: Link,
        board: Board,
        runner: Runner,
        lifeline: Lifeline,
        *,
        threads: int,
        coroutines: int,
        counters: Counters | None = None,
    ) -> None:
        self._link = link
        self._board = board
        self._runner = runner
        self._lifeline = lifeline
        self._counts = ConcurrentCounts(counters)
        self._most = max(1, threads, coroutines)
        self._changed = asyncio.Event()
        broken = partial(end_broken, lifeline=lifeline)
        self._threads = TaskThreads(max(1, threads), self._run_sync, broken)
        self._coroutines = TaskCoroutines(self._most, self._run_async, self._counts.started, self._changed.set, broken)
        self._lookahead = Lookahead()
        self._sent_at = 0.0
        self._outcomes: list[Outcome] = []
        self._slots: list[int] = []
        self._guards: dict[int, tuple[int, Guard]] = {}  # slot -> start and guard of the attempt that runs there
        self._alone = False  # a suspect runs, and nothing beside it
        self._held: list[tuple[int, Claimed]] = []  # what must run alone, and what was claimed behind it
        self._main_guard = MainGuard(board)
        self._state = ProcessState((*STOP_SIGNALS, INTERRUPT))
        self._look_at = 0.0

    def run(self) -> None:
        """Work until the lifeline stops, then settle and return."""
        self._state.note_timers()
        try:
            # A factory of our own: this loop shall not be what asyncio.get_event_loop() gives to a plain task.
            with asyncio.Runner(loop_factory=new_loop) as runner:
                life, loop = self._lifeline, runner.get_loop()
                self._threads.listen(loop, self._take_ended)
                listen(loop, {life.wake_fd: self._signalled, life.life_fd: self._alarmed}, life.is_whole)
                while self._turn(loop):
                    self._run_alone(*self._held.pop(0))
        except Exception as error:
            if self._lifeline.is_whole():
                raise
            end_broken(error, self._lifeline)
        finally:
            self._threads.close()

    def _turn(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Run the loop until `_main` returns. A loop that cannot go on ends this child: what runs has crashed.

        To close such a loop would cancel what runs on it, and so record failures that nobody has asked for.
        """
        try:
            return complete(loop, own_task(self._main(), None, loop))
        except BaseException as error:
            if is_copy():
                end_copy(error)
            if not self._runs():
                raise
            end_broken(error, self._lifeline)

    async def _main(self) -> bool:
        """Work until there is something to run outside the loop (True), or the child shall stop (False)."""
        link, lifeline = self._link, self._lifeline
        empty = False
        held, self._held = self._held, []
        self._begin_all(held)
        while self._is_busy() or self._outcomes or not lifeline.stopping:
            self._changed.clear()
            self._drop_returned()
            if self._held and not (self._runs() or self._outcomes):
                return True
            count = self._places()
            look = self._makes_room() and time.monotonic() >= self._look_at
            if self._outcomes or look or (count and not empty):
                if (rest_s := self._gathers_s()) > 0:
                    await asyncio.sleep(rest_s)
                    continue
                self._counts.flush()
                if not await link.connected():
                    await asyncio.sleep(link.pause_s())
                    continue
                outcomes, slots, self._outcomes, self._slots = self._outcomes, self._slots, [], []
                if look or count:
                    self._look_at = time.monotonic() + LOOK_S
                self._sent_at = time.monotonic()
                link.send(outcomes, slots, count, alone=not self._is_busy(), look=look)
                while (exchange := await link.received()) is None:
                    await asyncio.sleep(link.pause_s())
                    lifeline.check_parent()
                    if lifeline.stopping and not link.settling:
                        break  # only a claim: what it took, the keeper hands back
                if exchange is None:
                    continue
                empty = (not self._take(exchange) or link.expects_nothing()) and count > 0 and not link.again
                if link.suspects:
                    empty = self._is_busy()
            elif count:
                empty = await self._idle(0 if self._is_busy() else count)
            else:
                empty = False
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), LOOK_S if self._held or self._makes_room() else None)
        return False

    def _alarmed(self) -> None:
        self._lifeline.check_parent()
        asyncio.get_running_loop().remove_reader(self._lifeline.life_fd)  # it stays readable
        self._changed.set()

    def _signalled(self) -> None:
        self._lifeline.drain()
        self._board.acknowledge()
        for slot, (started, guard) in list(self._guards.items()):  # threads add theirs meanwhile
            if kind := self._board.requested_interrupt(slot, started):
                guard.interrupt(kind)
        self._changed.set()

    def _places(self) -> int:
        """How many messages may be claimed now."""
        full = self._held or (self._alone and self._runs()) or self._makes_room()
        if full or self._lifeline.stopping or self._threads.waiting > self._lookahead.of(self._threads.count):
            return 0
        in_hand = self._threads.in_hand + self._coroutines.in_hand
        places = self._most + self._lookahead.of(self._most) - in_hand
        return max(0, min(MOST, places, self._lifeline.attempts_left - in_hand, self._board.free_slots))

    def _gathers_s(self) -> float:
        """How long the next exchange can wait for more outcomes, because something is in hand that starts meanwhile."""
        waits = self._coroutines.waiting + self._threads.waiting > 0
        return self._sent_at + GATHER_S - time.monotonic() if waits else 0.0

    def _runs(self) -> bool:
        return self._threads.in_hand + self._coroutines.in_hand > 0

    def _is_busy(self) -> bool:
        return bool(self._held) or self._runs()

    def _makes_room(self) -> bool:
        """Whether nothing is claimed because something waits for a child with empty hands, which this one has not."""
        return self._link.suspects and self._runs() and not (self._held or self._lifeline.stopping)

    async def _idle(self, count: int) -> bool:
        """Wait for work, or for something of our own; return whether the store is still thought empty.

        ``count``: what may be claimed the moment there is some; 0 unless nothing is in hand. A child whose
        GIL is held cannot take what was claimed for it.
        """
        link = self._link
        if not self._is_busy():
            self._runner.log.tell_hidden()
            self._state.before_waiting()
        if link.others_only:
            await asyncio.sleep(OTHERS_PAUSE_S)
        try:
            await link.channel.connect()
            fd = link.start_wait(count)
        except StoreError as error:
            link.away(error)
            await asyncio.sleep(link.pause_s())
            return False
        woken = asyncio.ensure_future(readable(fd))
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            left_s = link.wait_left_s()
            done, _ = await asyncio.wait((woken, changed), timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
            changed.cancel()
        if woken in done or not done:
            try:
                exchange = link.finish_wait()
            except StoreError as error:
                link.away(error)
                return False
            return exchange is not None and not self._take(exchange) and not link.again
        return True

    def _take(self, exchange: Exchange) -> bool:
        """Begin what was claimed; return whether there was any."""
        claimed, places = self._link.taken(exchange)
        self._alone = exchange.run_alone and bool(claimed)
        self._begin_all(list(zip(places, claimed, strict=True)))
        return bool(claimed)

    # -- what runs alone -----------------------------------------------------------------------------

    def _begin_all(self, claimed: list[tuple[int, Claimed]]) -> None:
        """Begin messages in their order, up to one that must run alone."""
        for at, (slot, message) in enumerate(claimed):
            if not self._begin(message, slot):
                self._held += claimed[at:]
                self._board.set_runs_alone(slot)
                return

    def _drop_returned(self) -> None:
        """Drop held messages that were handed back. This child still makes room for them."""
        for slot, message in [one for one in self._held if self._board.is_returned(one[0])]:
            self._held.remove((slot, message))
            self._drop(slot, message.token)
            self._link.suspects = True

    def _run_alone(self, slot: int, message: Claimed) -> None:
        """Run a message on this thread, outside the loop and with nothing beside it."""
        started = self._board.start(slot)
        prepared = self._runner.prepare(message, started, reporter(self._board, slot))
        if not started:
            self._drop(slot, message.token)
            return
        self._main_guard.begin(slot, started)
        prepared.begin(self._main_guard, self._board, slot, started)
        self._counts.started(slot, prepared)
        self._finished(slot, self._runner.run(prepared), started)

    # -- attempts ------------------------------------------------------------------------------------

    def _begin(self, message: Claimed, slot: int) -> bool:
        """Begin a message; return False, and do nothing, if it must run alone."""
        prepared = self._runner.prepare(message, time.monotonic_ns(), reporter(self._board, slot))
        if prepared.runs_inline:
            return False
        if prepared.outcome is not None:
            if started := self._board.start(slot):
                self._counts.started(slot, prepared)
                self._finished(slot, prepared.outcome, started)
            else:
                self._drop(slot, message.token)
            return True
        if prepared.is_async:
            self._coroutines.begin(slot, prepared)
            return True
        self._threads.begin(slot, prepared)
        self._counts.queued(slot, prepared)
        self._counts.taken(self._threads.waiting)
        return True

    # The start is noted where user code begins, not where it is scheduled: what has not begun when another
    # attempt holds the GIL can still be handed back.
    async def _run_async(self, prepared: Prepared, slot: int) -> None:
        if started := self._start(prepared, slot, CoroutineGuard):
            self._finished(slot, await self._runner.arun(prepared), started)
        else:
            self._drop(slot, prepared.claimed.token)

    def _take_ended(self) -> None:
        """Take what has left the threads."""
        for slot, prepared, started, outcome in self._threads.take():
            self._counts.taken(self._threads.waiting)
            if outcome is None:
                self._drop(slot, prepared.claimed.token)
            else:
                self._finished(slot, outcome, started)
        self._changed.set()

    def _run_sync(self, prepared: Prepared, slot: int) -> tuple[int, Outcome | None]:
        """Run a sync task; called on a thread of the pool."""
        if not (started := self._start(prepared, slot, ThreadGuard)):
            return 0, None
        outcome = self._runner.run(prepared)
        self._state.restore_mask(outcome.id)
        if not self._lifeline.is_whole():
            end_after_attempt(self._board, slot, outcome, started)  # in here: the loop will never hear of it
        return started, outcome

    def _start(self, prepared: Prepared, slot: int, guard: type[Guard]) -> int:
        """Note the start and the limits of an attempt; return the start, 0 if it must not start."""
        if started := self._board.start(slot):
            self._runner.set_start(prepared, started)
            prepared.begin(guard(), self._board, slot, started)
            self._guards[slot] = (started, prepared.guard)
            if self._lifeline.attempts_left <= len(self._guards):
                self._board.set_aged()  # what runs may take long: another child has to claim meanwhile
        return started

    def _drop(self, slot: int, token: str) -> None:
        """Drop a message that the keeper handed back before it started, or settled while it ran."""
        self._board.free(slot)
        self._link.channel.drop(token)

    def _finished(self, slot: int, outcome: Outcome, started: int) -> None:
        self._guards.pop(slot, None)
        ran_ns = time.monotonic_ns() - started
        self._lookahead.measured(ran_ns)
        self._state.after_attempt(outcome.id, started + ran_ns, started, alone=not self._guards)
        if self._board.enforced(slot):
            self._drop(slot, outcome.token)  # its outcome was written while it lived on
            return
        self._counts.ended(slot, outcome, ran_ns)
        if not self._lifeline.is_whole():
            self._counts.flush()
            end_after_attempt(self._board, slot, outcome, started)
        self._outcomes.append(outcome)
        self._slots.append(slot)
        self._board.finish(slot, outcome, started)  # a large one is settled at once, this loop being free
        if self._lifeline.attempted(self._lifeline.attempts_left if self._state.is_spoilt else 1):
            self._board.set_aged()
        self._changed.set()
