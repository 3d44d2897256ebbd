"""The inline executor: one attempt at a time, on the child's main thread. The default, and the fastest.

While the replies of one exchange are on their way, the messages of the one before run: no thread, no
waiting. Tasks of 5 ms or more are claimed one by one, with nothing in hand, so that nothing waits behind them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from streamtasks.exceptions import StoreError
from streamtasks.stores.types import Claimed, Outcome

from ..process.board import Board
from ..process.counters import Counters
from ..process.lifeline import STOP_SIGNALS, Lifeline
from ..process.process_state import ProcessState
from .attempt_counts import AttemptCounts
from .guards import INTERRUPT, CoroutineGuard, MainGuard
from .link import Link, Pace
from .own_loop import complete, new_loop, own_task
from .prepared import Prepared
from .runner import Runner

__all__ = ["OTHERS_PAUSE_S", "InlineExecutor", "reporter"]

IDLE_NS = 300_000
"""A child that has waited so long for work, ns, has time: what it settles does not wait for a claim."""

OTHERS_PAUSE_S = 0.05
"""A child that excludes queues is woken for those too; then it pauses this long before it listens again."""


class _ProcessSpoilt(Exception):
    """Raised when a task has done to this process what cannot be undone."""


class InlineExecutor:
    """Claims, runs and settles until the child shall stop. ``counters``: for metrics and charts."""

    def __init__(
        self, link: Link, board: Board, runner: Runner, lifeline: Lifeline, counters: Counters | None = None
    ) -> None:
        self._link = link
        self._board = board
        self._runner = runner
        self._lifeline = lifeline
        self._counts = None if counters is None else AttemptCounts(counters)
        self._pace = Pace()
        self._guard = MainGuard(board)
        self._state = ProcessState((*STOP_SIGNALS, INTERRUPT))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._outcomes: list[Outcome] = []
        self._slots: list[int] = []
        self._next: tuple[list[Claimed], list[int]] = ([], [])
        self._in_flight = False
        self._was_idle = False
        self._reporters = [reporter(board, slot) for slot in range(board.slots)]

    def run(self) -> None:
        """Work until the lifeline stops, or a task has spoilt this process; then settle and return."""
        self._state.note_timers()
        try:
            self._work_on()
        except _ProcessSpoilt:
            if self._lifeline.is_whole():
                self._flush()
            # What has not started, the keeper hands back; what could not be settled, it settles.
        if self._loop is not None and not self._loop.is_closed():
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def _work_on(self) -> None:
        link, lifeline = self._link, self._lifeline
        claimed: list[Claimed] = []
        slots: list[int] = []
        while claimed or self._outcomes or not lifeline.stopping:
            count = min(self._pace.count, lifeline.attempts_left - len(claimed))
            if claimed and (
                count <= 1
                or link.suspects
                or link.runs_suspect
                or (not self._outcomes and not link.again and link.expects_nothing())
            ):
                # Nothing is claimed ahead of a long task, nor of a suspect, nor in vain: finish what is in hand first.
                self._work(claimed, slots)
                claimed, slots = [], []
                if not lifeline.is_whole():
                    self._after_batch()  # what is sent may go anywhere
                continue
            if lifeline.stopping or (self._was_idle and not claimed and not link.again and link.expects_nothing()):
                count = 0
            self._send(max(0, count), alone=not claimed)
            self._work(claimed, slots)
            self._after_batch()
            if self._in_flight:
                self._receive()
            self._was_idle = False
            (claimed, slots), self._next = self._next, ([], [])
            while not (claimed or self._outcomes or link.suspects or link.again or lifeline.stopping):
                claimed, slots = self._wait()

    def _send(self, count: int, *, alone: bool) -> None:
        outcomes, slots, self._outcomes, self._slots = self._outcomes, self._slots, [], []
        if count:
            self._board.wait_for_hand_back()  # what it lets go comes first
        self._link.send(outcomes, slots, count, alone=alone)
        self._in_flight = True

    def _receive(self) -> None:
        """Finish the exchange; what it claimed comes next."""
        while (exchange := self._link.try_receive()) is None:
            self._lifeline.wait(None, self._link.pause_s())
            self._lifeline.check_parent()
            if self._lifeline.stopping and not self._link.settling:
                self._in_flight = False  # only a claim: what it took, the keeper hands back
                return
        self._in_flight = False
        claimed, slots = self._link.taken(exchange)
        if claimed:
            self._next = (claimed, slots)

    def _wait(self) -> tuple[list[Claimed], list[int]]:
        """Sleep until there is work; return what was claimed of it, and its slots."""
        link, lifeline = self._link, self._lifeline
        self._runner.log.tell_hidden()
        if link.others_only:
            lifeline.wait(None, OTHERS_PAUSE_S)
        self._board.wait_for_hand_back()
        try:
            begun = time.monotonic_ns()
            fd = link.start_wait(min(self._pace.count, lifeline.attempts_left))
            left_s = link.wait_left_s()
            while not lifeline.wait(fd, left_s):
                if lifeline.stopping:
                    return [], []  # what is claimed from now on, the keeper hands back
                if left_s == 0.0:
                    break
                left_s = link.wait_left_s()
            self._was_idle = time.monotonic_ns() - begun >= IDLE_NS
            exchange = link.finish_wait()
        except StoreError as error:
            link.away(error)
            lifeline.wait(None, link.pause_s())
            return [], []
        return ([], []) if exchange is None else link.taken(exchange)

    def _work(self, claimed: list[Claimed], slots: list[int]) -> None:
        """Run messages one after the other; their outcomes wait on the board for the next exchange."""
        board, runner, reporters, state = self._board, self._runner, self._reporters, self._state
        counts = self._counts
        runnable, stream = None, ""
        begun = attempts = 0
        for message, slot in zip(claimed, slots, strict=True):
            started = board.start(slot)
            if not started:
                board.free(slot)  # handed back while an earlier one ran long, or its lease has ended
                self._link.channel.drop(message.token)
                continue
            begun = begun or started
            attempts += 1
            prepared = runner.prepare(message, started, reporters[slot])
            if counts is not None and (prepared.runnable is not runnable or message.stream != stream):
                runnable, stream = prepared.runnable, message.stream
                counts.runs(prepared)
            if prepared.is_async:
                outcome = self._run_async(prepared, slot, started)
            else:
                self._guard.begin(slot, started)
                prepared.begin(self._guard, board, slot, started)
                outcome = runner.run(prepared)
            now = time.monotonic_ns()
            state.after_attempt(outcome.id, now, started)
            if counts is not None:
                counts.ended(slot, prepared, outcome, now - started)
                if state.is_spoilt:
                    counts.flush()
            self._outcomes.append(outcome)
            self._slots.append(slot)
            if not board.finish(slot, outcome, started) or prepared.settles_alone:
                self._flush()
            if state.is_spoilt:
                raise _ProcessSpoilt
        if attempts:
            self._lifeline.attempted(attempts)
            self._pace.measured(attempts, time.monotonic_ns() - begun)

    def _after_batch(self) -> None:
        """Count what has ended and restore what tasks have changed, when outcomes are on their way if they can be."""
        if self._counts is not None:
            self._counts.flush()
        self._state.before_waiting()
        if self._state.is_spoilt:
            raise _ProcessSpoilt

    def _flush(self) -> None:
        """Settle now: an outcome is too large to be safe on the board, or hooks have been called with it."""
        if self._in_flight:
            self._receive()
        self._send(0, alone=False)
        self._receive()

    def _run_async(self, prepared: Prepared, slot: int, started: int) -> Outcome:
        if self._loop is None or self._loop.is_closed():
            # It is not set as the current one: asyncio.get_event_loop() must not give it to a plain task, to close it.
            self._loop = new_loop()
        loop, guard = self._loop, CoroutineGuard()
        prepared.begin(guard, self._board, slot, started)

        def interrupt(kind: int) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(guard.interrupt, kind)

        outcomes: list[Outcome] = []

        async def run() -> None:
            outcomes.append(await self._runner.arun(prepared))

        self._guard.begin(slot, started, interrupt)
        try:
            complete(loop, own_task(run(), prepared.attempt, loop))
        except OSError:
            if not outcomes:
                raise
            self._loop = None  # the task has closed the loop's descriptors; its outcome counts all the same
        return outcomes[0]


def reporter(board: Board, slot: int) -> Callable[[bytes], None]:
    """Return what puts the progress of the attempt in a slot on the board."""

    def report(data: bytes) -> None:
        board.report(slot, data)

    return report
