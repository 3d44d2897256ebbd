"""The threads and async executors: many attempts at once in one child, on one event loop that nothing blocks.

Coroutine tasks run on the loop, sync tasks on threads; the rest is as in the inline executor. A task with
``executor="inline"`` runs on this thread, outside the loop, when nothing else is in hand.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from contextlib import suppress

from streamtasks.exceptions import StoreError
from streamtasks.stores.readable import readable
from streamtasks.stores.types import Claimed, Exchange, Outcome

from ..process.board import Board
from ..process.counters import Counters
from ..process.fork_guard import end_copy, is_copy
from ..process.lifeline import STOP_SIGNALS, Lifeline
from ..process.process_state import ProcessState
from .attempt_counts import count_end, count_start
from .broken_process import end_after_attempt, end_broken
from .guards import INTERRUPT, CoroutineGuard, Guard, MainGuard, ThreadGuard
from .inline import OTHERS_PAUSE_S, reporter
from .link import MOST, Link
from .own_loop import complete, listen, new_loop, own_task
from .prepared import Prepared
from .runner import Runner
from .started_pool import started_pool

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
        self._counters = counters
        self._counted: dict[int, Prepared] = {}  # slot -> the attempt whose start was counted
        self._threads = max(1, threads)
        self._most = max(self._threads, coroutines)
        self._pool = started_pool(self._threads)
        self._free_threads = self._threads
        self._waiting: list[tuple[int, Claimed]] = []  # sync messages without a thread
        self._running: set[asyncio.Task[None]] = set()
        self._outcomes: list[Outcome] = []
        self._slots: list[int] = []
        self._changed = asyncio.Event()
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
                listen(loop, {life.wake_fd: self._signalled, life.life_fd: self._alarmed}, life.is_whole)
                while self._turn(loop):
                    self._run_alone(*self._held.pop(0))
        except Exception as error:
            if self._lifeline.is_whole():
                raise
            end_broken(error, self._lifeline)
        self._pool.shutdown()

    def _turn(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Run the loop until `_main` returns. A loop that cannot go on ends this child: what runs has crashed.

        To close such a loop would cancel what runs on it, and so record failures that nobody has asked for.
        """
        try:
            return complete(loop, own_task(self._main(), None, loop))
        except BaseException as error:
            if is_copy():
                end_copy(error)
            if not self._running:
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
            if self._held and not (self._running or self._waiting or self._outcomes):
                return True
            count = self._places()
            look = self._makes_room() and time.monotonic() >= self._look_at
            if self._outcomes or look or (count and not empty):
                if not await link.connected():
                    await asyncio.sleep(link.pause_s())
                    continue
                outcomes, slots, self._outcomes, self._slots = self._outcomes, self._slots, [], []
                if look or count:
                    self._look_at = time.monotonic() + LOOK_S
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
        full = self._waiting or self._held or (self._alone and self._running) or self._makes_room()
        if full or self._lifeline.stopping:
            return 0
        return max(0, min(MOST, self._most - len(self._running), self._lifeline.attempts_left - len(self._running)))

    def _is_busy(self) -> bool:
        return bool(self._running or self._waiting or self._held)

    def _makes_room(self) -> bool:
        """Whether nothing is claimed because something waits for a child with empty hands, which this one has not."""
        return self._link.suspects and bool(self._running) and not (self._held or self._lifeline.stopping)

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
        self._count_start(slot, prepared)
        self._finished(slot, self._runner.run(prepared), started)

    # -- attempts ------------------------------------------------------------------------------------

    def _begin(self, message: Claimed, slot: int) -> bool:
        """Begin a message; return False, and do nothing, if it must run alone."""
        prepared = self._runner.prepare(message, time.monotonic_ns(), reporter(self._board, slot))
        if prepared.runs_inline:
            return False
        if prepared.outcome is not None:
            if started := self._board.start(slot):
                self._count_start(slot, prepared)
                self._finished(slot, prepared.outcome, started)
            else:
                self._drop(slot, message.token)
            return True
        if prepared.is_async:
            work = self._run_async(prepared, slot)
        elif self._free_threads:
            self._free_threads -= 1
            work = self._run_in_thread(prepared, slot)
        else:
            self._waiting.append((slot, message))  # the keeper hands it back if no thread is free soon
            return True
        self._count_start(slot, prepared)
        task = own_task(work, prepared.attempt, asyncio.get_running_loop(), contextvars.copy_context())
        self._running.add(task)
        task.add_done_callback(self._done)
        return True

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            end_broken(error, self._lifeline)  # this attempt has no outcome, and would seem to run for ever
        self._changed.set()

    # The start is noted where user code begins, not where it is scheduled: what has not begun when another
    # attempt holds the GIL can still be handed back.
    async def _run_async(self, prepared: Prepared, slot: int) -> None:
        if started := self._start(prepared, slot, CoroutineGuard):
            self._finished(slot, await self._runner.arun(prepared), started)
        else:
            self._drop(slot, prepared.claimed.token)

    async def _run_in_thread(self, prepared: Prepared, slot: int) -> None:
        started, outcome = await asyncio.get_running_loop().run_in_executor(self._pool, self._run_sync, prepared, slot)
        self._free_threads += 1
        if outcome is None:
            self._drop(slot, prepared.claimed.token)
        else:
            self._finished(slot, outcome, started)
        while self._waiting and self._free_threads:
            next_slot, message = self._waiting.pop(0)
            self._begin(message, next_slot)

    def _run_sync(self, prepared: Prepared, slot: int) -> tuple[int, Outcome | None]:
        """Run a sync task; called on a thread of the pool."""
        started = self._start(prepared, slot, ThreadGuard)
        if not started:
            return 0, None
        outcome = self._runner.run(prepared)
        self._state.restore_mask(outcome.id)
        if not self._lifeline.is_whole():
            end_after_attempt(self._board, slot, outcome, started)  # in here: the loop will never hear of it
        return started, outcome

    def _start(self, prepared: Prepared, slot: int, guard: type[Guard]) -> int:
        """Note the start and the limits of an attempt; return the start, 0 if it must not start."""
        started = self._board.start(slot)
        if started:
            prepared.begin(guard(), self._board, slot, started)
            self._guards[slot] = (started, prepared.guard)
            if self._lifeline.attempts_left <= len(self._guards):
                self._board.set_aged()  # what runs may take long: another child has to claim meanwhile
        return started

    def _drop(self, slot: int, token: str) -> None:
        """Drop a message that the keeper handed back before it started, or settled while it ran."""
        self._board.free(slot)
        self._link.channel.drop(token)

    def _count_start(self, slot: int, prepared: Prepared) -> None:
        if self._counters is not None:
            count_start(self._counters, slot, prepared)
            self._counted[slot] = prepared

    def _finished(self, slot: int, outcome: Outcome, started: int) -> None:
        self._guards.pop(slot, None)
        now = time.monotonic_ns()
        self._state.after_attempt(outcome.id, now, started, alone=not self._guards)
        if self._board.enforced(slot):
            self._drop(slot, outcome.token)  # its outcome was written while it lived on
            return
        if self._counters is not None and (prepared := self._counted.pop(slot, None)) is not None:
            count_end(self._counters, slot, prepared, outcome, now - started)
            self._counters.flush()
        if not self._lifeline.is_whole():
            end_after_attempt(self._board, slot, outcome, started)
        self._outcomes.append(outcome)
        self._slots.append(slot)
        self._board.finish(slot, outcome, started)  # a large one is settled at once, this loop being free
        if self._lifeline.attempted(self._lifeline.attempts_left if self._state.is_spoilt else 1):
            self._board.set_aged()
        self._changed.set()
