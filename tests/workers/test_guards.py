"""Interrupts strike the task's own code, and nothing else."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from streamtasks.exceptions import SoftTimeLimitExceeded, TaskRevoked, TimeLimitExceeded
from streamtasks_workers.board import Ask, Board
from streamtasks_workers.guards import INTERRUPT, CoroutineGuard, MainGuard, ThreadGuard
from tests.workers.test_board import LEASE_NS, message, place


@pytest.fixture
def board() -> Board:
    made = Board(0, 4)
    made.reset("w", "u0", LEASE_NS)
    return made


@pytest.fixture
def main_guard(board: Board) -> Iterator[MainGuard]:
    before = signal.getsignal(INTERRUPT)
    yield MainGuard(board)
    signal.signal(INTERRUPT, before)


def strike() -> None:
    os.kill(os.getpid(), INTERRUPT)


class TestMainThread:
    def test_what_is_asked_is_raised_once(self, board: Board, main_guard: MainGuard) -> None:
        [slot] = place(board, message())
        started = board.start(slot)
        main_guard.begin(slot, started)
        board.ask(slot, started, Ask.SOFT_LIMIT)
        caught: list[type[BaseException]] = []

        def task(_: int) -> str:
            for _ in range(2):
                try:
                    strike()
                except SoftTimeLimitExceeded as error:
                    caught.append(type(error))
            board.ask(slot, started, Ask.REVOKED)
            try:
                strike()
            except TaskRevoked as error:
                caught.append(type(error))
            return "done"

        assert main_guard.call(task, 0) == "done"
        assert caught == [SoftTimeLimitExceeded, TaskRevoked]
        assert main_guard.kind == Ask.REVOKED

    def test_neither_before_nor_after_the_task_nor_in_the_next_one(self, board: Board, main_guard: MainGuard) -> None:
        one, other = place(board, message(1), message(2))
        started = board.start(one)
        main_guard.begin(one, started)
        board.ask(one, started, Ask.SOFT_LIMIT)
        strike()
        main_guard.call(lambda _: None, 0)
        strike()
        main_guard.begin(other, board.start(other))
        main_guard.call(lambda _: strike(), 0)
        assert main_guard.kind == Ask.NOTHING

    def test_without_a_wish_the_signal_means_nothing(self, board: Board, main_guard: MainGuard) -> None:
        [slot] = place(board, message())
        main_guard.begin(slot, board.start(slot))
        main_guard.call(lambda _: strike(), 0)

    def test_at_any_moment_it_is_raised_inside_or_not_at_all(self, board: Board, main_guard: MainGuard) -> None:
        """A thread strikes at random moments, also right where tasks end."""
        [slot] = place(board, message())
        stop = threading.Event()
        current = [0]

        def striker() -> None:
            dice = random.Random(1)
            while not stop.is_set():
                time.sleep(dice.random() * 2e-4)
                board.ask(slot, current[0], Ask.SOFT_LIMIT if dice.random() < 0.5 else Ask.REVOKED)
                strike()

        thread = threading.Thread(target=striker)
        thread.start()
        struck, until, rounds = 0, time.monotonic() + 1.5, 0
        try:
            while time.monotonic() < until:
                rounds += 1
                current[0] = started = time.monotonic_ns()
                main_guard.begin(slot, started)
                try:
                    main_guard.call(lambda n: [None] * n, 50)
                except (SoftTimeLimitExceeded, TaskRevoked):
                    struck += 1
                # Out here nothing may be raised: it would fail the test.
        finally:
            stop.set()
            thread.join()
        assert 0 < struck < rounds


class TestOtherThreads:
    def run(self, guard: ThreadGuard, function: Any) -> tuple[threading.Thread, list[Any]]:
        ended: list[Any] = []

        def work() -> None:
            try:
                ended.append(guard.call(function, 0))
            except Exception as error:
                ended.append(error)
            for _ in range(2000):  # what was sent too late would strike here and end the thread
                ended[:] = list(ended)
            ended.append("whole")

        thread = threading.Thread(target=work)
        thread.start()
        return thread, ended

    @pytest.mark.parametrize(
        ("kind", "error"), [(Ask.SOFT_LIMIT, SoftTimeLimitExceeded), (Ask.HARD_LIMIT, TimeLimitExceeded)]
    )
    def test_it_strikes_at_the_next_bytecode(self, kind: Ask, error: type[Exception]) -> None:
        guard, begun = ThreadGuard(), threading.Event()

        def task(_: int) -> None:
            begun.set()
            while True:
                pass

        thread, ended = self.run(guard, task)
        begun.wait()
        guard.interrupt(kind)
        guard.interrupt(kind)
        thread.join(5)
        assert isinstance(ended[0], error)
        assert ended[1] == "whole"

    def test_a_task_that_has_ended_is_not_struck(self) -> None:
        guard = ThreadGuard()
        thread, ended = self.run(guard, lambda _: 5)
        thread.join()
        guard.interrupt(Ask.SOFT_LIMIT)
        assert (ended, guard.kind) == ([5, "whole"], Ask.NOTHING)

    def test_at_any_moment_the_thread_survives(self) -> None:
        dice, struck = random.Random(2), 0
        for _ in range(300):
            guard = ThreadGuard()
            thread, ended = self.run(guard, lambda _: sum(range(3000)))
            time.sleep(dice.random() * 1e-4)
            for kind in (Ask.SOFT_LIMIT, Ask.HARD_LIMIT, Ask.REVOKED):
                guard.interrupt(kind)
            thread.join(5)
            assert not thread.is_alive()
            assert ended[-1] == "whole", "what was sent struck outside of the task"
            struck += isinstance(ended[0], Exception)
        assert struck < 300


class TestCoroutines:
    async def test_the_task_sees_the_reason_and_may_clean_up(self) -> None:
        guard = CoroutineGuard()
        seen: list[Any] = []

        async def work() -> str:
            try:
                await asyncio.sleep(60)
            except SoftTimeLimitExceeded as error:
                seen.append(error)
                await asyncio.sleep(0.001)
            return "tidied up"

        task = asyncio.ensure_future(guard.drive(work()))
        await asyncio.sleep(0.01)
        guard.interrupt(Ask.SOFT_LIMIT)
        guard.interrupt(Ask.SOFT_LIMIT)
        assert await task == "tidied up"
        assert len(seen) == 1
        assert isinstance(task, asyncio.Task)
        assert task.cancelling() == 0

    async def test_a_stronger_wish_strikes_again(self) -> None:
        guard = CoroutineGuard()

        async def work() -> None:
            try:
                await asyncio.sleep(60)
            except SoftTimeLimitExceeded:
                await asyncio.sleep(60)

        task = asyncio.ensure_future(guard.drive(work()))
        for kind in (Ask.SOFT_LIMIT, Ask.REVOKED):
            await asyncio.sleep(0.01)
            guard.interrupt(kind)
        with pytest.raises(TaskRevoked):
            await task

    async def test_timeouts_and_groups_of_its_own_work_as_ever(self) -> None:
        guard = CoroutineGuard()

        async def work() -> str:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await asyncio.sleep(60)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(asyncio.sleep(60))
                    await asyncio.sleep(60)
            except BaseExceptionGroup as errors:
                return f"told of {[type(error).__name__ for error in errors.exceptions]}"
            return "not told"

        task = asyncio.ensure_future(guard.drive(work()))
        await asyncio.sleep(0.05)
        guard.interrupt(Ask.SOFT_LIMIT)
        assert await task == "told of ['SoftTimeLimitExceeded']"

    async def test_a_cancellation_by_others_is_one(self) -> None:
        guard = CoroutineGuard()
        task = asyncio.ensure_future(guard.drive(asyncio.sleep(60)))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_one_that_has_ended_is_not_struck(self) -> None:
        guard = CoroutineGuard()
        assert await guard.drive(asyncio.sleep(0, 7)) == 7
        guard.interrupt(Ask.SOFT_LIMIT)
        await asyncio.sleep(0)
        assert guard.kind == Ask.NOTHING
