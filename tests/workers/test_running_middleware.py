"""Middleware around one attempt: it sees what the task returns or raises, in order."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from streamtasks import (
    Attempt,
    AttemptOutcome,
    Ignore,
    Message,
    Middleware,
    Retry,
    StreamTasks,
)
from streamtasks.exceptions import ControlFlow
from streamtasks.protocol.state import State
from streamtasks_workers.executor.prepared import Prepared
from streamtasks_workers.executor.runner import Runner
from tests.support.attempts import Run, claimed, error_of, message, raising


class Told(Middleware):
    """Writes down what it sees."""

    def __init__(self, name: str, log: list[Any]) -> None:
        self.name = name
        self.log = log

    @contextmanager
    def around_run(self, attempt: Attempt) -> Generator[None]:
        self.log.append(f"{self.name} in")
        try:
            yield
        finally:
            self.log.append(f"{self.name} out")

    def after_outcome(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        self.log.append(f"{self.name} {outcome.state}")


class Breaks(Middleware):
    """Raises where it is told to."""

    def __init__(self, where: str, error: BaseException) -> None:
        self.where = where
        self.error = error

    @contextmanager
    def around_run(self, attempt: Attempt) -> Generator[None]:
        if self.where == "enter":
            raise self.error
        yield
        if self.where == "exit":
            raise self.error

    def after_outcome(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        if self.where == "after":
            raise self.error


class TestMiddleware:
    def test_the_first_is_outermost(self, run: Run) -> None:
        log: list[Any] = []
        outcome = run(lambda: log.append("task"), middleware=[Told("a", log), Told("b", log)])
        assert log == ["a in", "b in", "task", "b out", "a out", "b SUCCESS", "a SUCCESS"]
        assert outcome.state == "SUCCESS"

    @pytest.mark.parametrize(
        ("error", "state"),
        [(ValueError(), "FAILURE"), (SystemExit(), "FAILURE"), (Retry(), "RETRY"), (Ignore(), "IGNORED")],
    )
    def test_it_sees_every_outcome(self, run: Run, error: BaseException, state: str) -> None:
        log: list[Any] = []
        run(raising(error), middleware=[Told("a", log)])
        assert log == ["a in", "a out", f"a {state}"]

    @pytest.mark.parametrize(
        ("error", "reported"), [(ValueError(), True), (Retry(), False), (Ignore(), False)], ids=repr
    )
    def test_control_flow_is_told_apart_around_a_run(self, run: Run, error: Exception, reported: bool) -> None:
        seen: list[Exception] = []

        class Sees(Middleware):
            @contextmanager
            def around_run(self, attempt: Attempt) -> Generator[None]:
                try:
                    yield
                except ControlFlow:
                    raise
                except Exception as raised:
                    seen.append(raised)
                    raise

        run(raising(error), middleware=[Sees()])
        assert seen == ([error] if reported else [])

    def test_it_sees_value_error_and_traceback(self, run: Run) -> None:
        seen: list[AttemptOutcome] = []

        class Sees(Middleware):
            def after_outcome(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
                seen.append(outcome)

        error = ValueError("bad")
        run(lambda: 5, middleware=[Sees()])
        run(raising(error), middleware=[Sees()])
        run(raising(Retry(delay_s=3)), middleware=[Sees()])
        success, failure, retry = seen
        assert (success.state, success.value, success.error, success.traceback) == (State.SUCCESS, 5, None, "")
        assert (failure.state, failure.error) == (State.FAILURE, error)
        assert "ValueError: bad" in failure.traceback
        assert (retry.state, retry.delay_s) == (State.RETRY, 3)

    def test_a_failure_is_the_current_exception_there(self, run: Run) -> None:
        import sys

        seen: list[Any] = []

        class Sees(Middleware):
            def after_outcome(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
                seen.append(sys.exc_info()[1])

        error = ValueError("bad")
        run(raising(error), middleware=[Sees()])
        assert seen == [error]

    @pytest.mark.parametrize("where", ["enter", "exit"])
    def test_an_error_around_the_task_fails_the_attempt(self, run: Run, where: str) -> None:
        log: list[Any] = []
        outcome = run(lambda: 1, middleware=[Told("a", log), Breaks(where, OSError("no database"))])
        assert outcome.state == "FAILURE"
        assert error_of(outcome)["message"] == "no database"
        assert log == ["a in", "a out", "a FAILURE"]

    @pytest.mark.parametrize("error", [RuntimeError("hook"), SystemExit(1)], ids=repr)
    @pytest.mark.parametrize(("task", "state"), [(lambda: 1, "SUCCESS"), (raising(ValueError()), "FAILURE")])
    def test_an_error_after_the_outcome_is_logged_and_changes_nothing(
        self, run: Run, caplog: pytest.LogCaptureFixture, error: BaseException, task: Any, state: str
    ) -> None:
        log: list[Any] = []
        outcome = run(task, middleware=[Told("a", log), Breaks("after", error)])
        assert outcome.state == state
        assert log[-1] == f"a {state}", "the others are told all the same"
        assert "Breaks.after_outcome failed for task id-1 (task)" in caplog.text
        assert type(error).__name__ in caplog.text

    def test_one_that_overrides_nothing_costs_nothing(self, run: Run) -> None:
        assert run(lambda: 1, middleware=[Middleware()]).state == "SUCCESS"

    async def test_a_coroutine_task_gets_the_asynchronous_twins(self) -> None:
        log: list[Any] = []

        class Twins(Middleware):
            @asynccontextmanager
            async def around_run_async(self, attempt: Attempt) -> AsyncGenerator[None]:
                log.append("in")
                yield
                log.append("out")

            async def after_outcome_async(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
                log.append(outcome.state)

        app = StreamTasks(middleware=[Twins()])

        async def task() -> int:
            log.append("task")
            return 1

        app.task(name="task")(task)
        runner = Runner(app, "w")
        prepared = runner.prepare(claimed(message()), time.monotonic_ns(), lambda data: None)
        assert isinstance(prepared, Prepared)
        assert (await runner.arun(prepared)).state == "SUCCESS"
        assert log == ["in", "task", "out", State.SUCCESS]


class TestBeforeEnqueue:
    def test_each_gets_what_the_one_before_returned(self) -> None:
        from dataclasses import replace

        class Adds(Middleware):
            def __init__(self, name: str) -> None:
                self.name = name

            def before_enqueue(self, message: Message) -> Message:
                return replace(message, headers={**message.headers, self.name: len(message.headers)})

        app = StreamTasks(middleware=[Adds("first"), Adds("second")])
        assert app.task(name="t")(print).message((), {}).headers == {"first": 0, "second": 1}

    def test_an_error_reaches_the_caller_and_nothing_is_enqueued(self) -> None:
        class Refuses(Middleware):
            def before_enqueue(self, message: Message) -> Message:
                raise PermissionError("not today")

        app = StreamTasks("redis://127.0.0.1:1", middleware=[Refuses()])
        with pytest.raises(PermissionError, match="not today"):
            app.task(name="t")(print).enqueue()
