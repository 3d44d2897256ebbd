"""One attempt: what a task returns or raises becomes an outcome, and middleware sees it in order."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
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
    StreamTasksError,
    current_attempt,
)
from streamtasks.attempt import read_progress
from streamtasks.codec import loads
from streamtasks.settings import MIN_DEDUP_S
from streamtasks.state import State
from streamtasks.transitions import Claimed, Outcome
from streamtasks_workers.running import Prepared, Runner

Run = Callable[..., Outcome]
SUCCESS_MS, FAILURE_MS = 86_400_000, 7 * 86_400_000


def claimed(message: Message | bytes, **changes: Any) -> Claimed:
    body = message if isinstance(message, bytes) else b"1000 " + message.encode(1 << 20)
    return Claimed("id-1", "w#1", "0:default", "1-0", 1, 0, 0, body)._replace(**changes)


def message(**changes: Any) -> Message:
    values: dict[str, Any] = {"id": "id-1", "task": "task", **changes}
    return Message(**values)


def started(app: StreamTasks, what: Claimed) -> Prepared | Outcome:
    return Runner(app, "w").prepare(what, time.monotonic_ns(), lambda data: None)


def prepare(runner: Runner, what: Claimed) -> Prepared:
    prepared = runner.prepare(what, time.monotonic_ns(), lambda data: None)
    assert isinstance(prepared, Prepared)
    return prepared


@pytest.fixture(params=["plain", "coroutine"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a function as a task of an app, plain and as a coroutine function, and return the outcome."""
    import asyncio

    def run_it(function: Callable[..., Any], *, middleware: list[Middleware] | None = None, **options: Any) -> Outcome:
        claim = options.pop("claim", {})
        call = options.pop("message", {})
        settings = options.pop("settings", {})
        app = StreamTasks(middleware=middleware or [], **settings)

        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        register: Any = app.task(name="task", **options)
        register(function if request.param == "plain" else coroutine)
        runner = Runner(app, "w")
        prepared = runner.prepare(claimed(message(**call), **claim), time.monotonic_ns(), lambda data: None)
        assert isinstance(prepared, Prepared)
        if request.param == "plain":
            return runner.run(prepared)
        with asyncio.Runner() as loop:
            return loop.run(runner.arun(prepared))

    return run_it


def raising(error: BaseException) -> Callable[[], None]:
    def task() -> None:
        raise error

    return task


def error_of(outcome: Outcome) -> dict[str, str]:
    found: dict[str, str] = loads(outcome.result)["e"]
    return found


class TestOutcomes:
    def test_a_value_is_a_success(self, run: Run) -> None:
        outcome = run(lambda a, b: a + b, message={"args": [1], "kwargs": {"b": 2}})
        assert (outcome.state, loads(outcome.result), outcome.keep_ms) == ("SUCCESS", {"r": 3}, SUCCESS_MS)
        assert (outcome.id, outcome.token, outcome.stream, outcome.entry) == ("id-1", "w#1", "0:default", "1-0")
        assert outcome.started_ms > 1_700_000_000_000

    def test_an_error_is_a_failure(self, run: Run) -> None:
        outcome = run(raising(ValueError("bad")))
        assert (outcome.state, outcome.keep_ms) == ("FAILURE", FAILURE_MS)
        error = error_of(outcome)
        assert (error["type"], error["message"]) == ("builtins.ValueError", "bad")
        assert "ValueError: bad" in error["traceback"]

    @pytest.mark.parametrize("error", [SystemExit(3), SystemExit(), KeyboardInterrupt(), GeneratorExit()], ids=repr)
    def test_what_would_end_a_process_is_a_failure_of_the_task(self, run: Run, error: BaseException) -> None:
        outcome = run(raising(error))
        assert outcome.state == "FAILURE"
        assert error_of(outcome)["type"] == f"builtins.{type(error).__name__}"

    @pytest.mark.parametrize("value", [{1, 2}, object(), b"x"], ids=["set", "object", "bytes"])
    def test_a_result_that_json_cannot_carry_is_a_failure(self, run: Run, value: object) -> None:
        outcome = run(lambda: value)
        assert outcome.state == "FAILURE"
        assert "JSON cannot carry" in error_of(outcome)["message"]
        assert type(value).__name__ in error_of(outcome)["message"]

    def test_a_result_that_is_too_large_is_a_failure(self, run: Run) -> None:
        outcome = run(lambda: "x" * 2000, settings={"max_payload_bytes": 1000})
        assert outcome.state == "FAILURE"
        assert "max_payload_bytes is 1000" in error_of(outcome)["message"]

    def test_wrong_arguments_are_a_failure(self, run: Run) -> None:
        assert error_of(run(lambda a: a))["type"] == "builtins.TypeError"

    def test_an_ignored_attempt(self, run: Run) -> None:
        outcome = run(raising(Ignore()))
        assert (outcome.state, outcome.result, outcome.keep_ms) == ("IGNORED", b"", SUCCESS_MS)

    def test_an_error_that_cannot_be_printed(self, run: Run) -> None:
        class Bad(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        assert "Bad" in error_of(run(raising(Bad())))["type"]

    def test_records_are_kept_long_enough_to_recognise_repeats(self, run: Run) -> None:
        outcome = run(lambda: None, settings={"result_expires_s": 1})
        assert outcome.keep_ms == MIN_DEDUP_S * 1000

    def test_the_attempt_is_known_to_the_task_and_to_nobody_after_it(self, run: Run) -> None:
        seen = []

        def task() -> None:
            attempt = current_attempt()
            seen.append((attempt.id, attempt.number, attempt.worker, attempt.enqueued_ms, attempt.message.headers))

        run(task, claim={"attempt": 4}, message={"headers": {"k": "v"}})
        assert seen == [("id-1", 4, "w", 1000, {"k": "v"})]
        with pytest.raises(StreamTasksError, match="No task is running here"):
            current_attempt()


class TestRetry:
    def test_the_task_s_own_delay_is_the_default(self, run: Run) -> None:
        outcome = run(raising(Retry("later")), retry_delay_s=2.5)
        assert (outcome.state, outcome.delay_ms, outcome.result) == ("RETRY", 2500, b"")
        report = loads(outcome.note.encode())
        assert (report["kind"], report["attempt"], report["worker"]) == ("RETRY", 1, "w")
        assert report["error"]["message"] == "later"
        assert report["started"] == outcome.started_ms <= report["finished"]

    @pytest.mark.parametrize(("delay_s", "delay_ms"), [(0, 0), (0.25, 250), (-5, 0), (90, 90_000)])
    def test_a_named_delay(self, run: Run, delay_s: float, delay_ms: int) -> None:
        assert run(raising(Retry(delay_s=delay_s))).delay_ms == delay_ms

    def test_the_message_knows_better_than_the_task(self, run: Run) -> None:
        call = {"max_retries": 7, "retry_delay_s": 1.0}
        outcome = run(
            raising(Retry()), max_retries=0, retry_delay_s=50, message=call, claim={"attempt": 7, "retries": 6}
        )
        assert (outcome.state, outcome.delay_ms) == ("RETRY", 1000)
        assert run(raising(Retry()), max_retries=9, message=call, claim={"retries": 7}).state == "FAILURE"

    @pytest.mark.parametrize(
        ("most", "retries", "state"),
        [
            (0, 0, "FAILURE"),
            (1, 0, "RETRY"),
            (1, 1, "FAILURE"),
            (3, 2, "RETRY"),
            (3, 3, "FAILURE"),
            (None, 999, "RETRY"),
        ],
    )
    def test_only_retries_count_against_the_limit(self, run: Run, most: int | None, retries: int, state: str) -> None:
        """Attempts that ended with their child or worker are no retries."""
        outcome = run(raising(Retry()), max_retries=most, claim={"attempt": retries + 20, "retries": retries})
        assert outcome.state == state

    def test_at_the_end_the_reason_for_retrying_is_what_failed(self, run: Run) -> None:
        def task() -> None:
            try:
                raise ValueError("the reason")
            except ValueError as error:
                raise Retry("again") from error

        assert error_of(run(task, max_retries=0))["type"] == "builtins.ValueError"
        assert "Retry" in error_of(run(raising(Retry("no reason")), max_retries=0))["type"]

    @pytest.mark.parametrize("delay", [timedelta(minutes=5), "5", float("inf"), float("nan")], ids=repr)
    def test_a_delay_that_is_none_is_the_task_s_failure_not_the_child_s(self, run: Run, delay: Any) -> None:
        outcome = run(raising(Retry(delay_s=delay)))
        assert outcome.state in {"FAILURE", "RETRY"}


class TestPrepare:
    def test_a_body_that_is_no_message_is_dead(self, caplog: pytest.LogCaptureFixture) -> None:
        for body in (b"", b"garbage", b"12 ", b"12 {}", b"x {}", b"\xff\xfe\x00", b"12 " + message().encode(9999)[:-1]):
            with caplog.at_level(logging.ERROR):
                outcome = started(StreamTasks(), claimed(body))
            assert isinstance(outcome, Outcome)
            assert (outcome.state, outcome.note, outcome.started_ms) == ("DEAD", "undecodable", 0)
            assert outcome.keep_ms == FAILURE_MS
            assert "DecodeError" in error_of(outcome)["type"] or "ValueError" in error_of(outcome)["type"]
        assert "id-1 cannot be read" in caplog.text

    def test_a_later_version_is_dead_and_says_so(self) -> None:
        outcome = started(StreamTasks(), claimed(b'12 {"v":9}'))
        assert isinstance(outcome, Outcome)
        assert "version 9" in error_of(outcome)["message"]

    def test_an_unknown_task_waits_and_is_named(self, caplog: pytest.LogCaptureFixture) -> None:
        app = StreamTasks(unknown_task_delay_s=12.0, unknown_task_limit=3)
        for attempt in (1, 2):
            outcome = started(app, claimed(message(task="no.such"), attempt=attempt))
            assert isinstance(outcome, Outcome)
            assert (outcome.state, outcome.delay_ms, outcome.started_ms) == ("RETRY", 12_000, 0)
            assert loads(outcome.note.encode())["kind"] == "UNKNOWN"
        assert "'no.such'" in caplog.text

    def test_an_unknown_task_is_dead_after_a_while(self) -> None:
        app = StreamTasks(unknown_task_limit=3)
        outcome = started(app, claimed(message(task="no.such"), attempt=3))
        assert isinstance(outcome, Outcome)
        assert (outcome.state, outcome.note) == ("DEAD", "unknown task")
        assert "No task named 'no.such' is registered" in error_of(outcome)["message"]

    def test_a_name_is_never_imported(self) -> None:
        outcome = started(StreamTasks(), claimed(message(task="antigravity.fly")))
        import sys

        assert isinstance(outcome, Outcome)
        assert "antigravity" not in sys.modules

    def test_an_expired_message_is_not_started(self) -> None:
        app = StreamTasks()
        app.task(name="task")(print)
        runner = Runner(app, "w")
        prepared = prepare(runner, claimed(message(expires_ms=5)))
        outcome = runner.run(prepared)
        assert (outcome.state, outcome.started_ms, outcome.keep_ms) == ("EXPIRED", 0, FAILURE_MS)
        future = time.time_ns() // 1_000_000 + 60_000
        assert prepare(runner, claimed(message(expires_ms=future))).fate is None

    def test_expiry_is_judged_by_the_stores_clock(self) -> None:
        app = StreamTasks()
        app.task(name="task")(print)
        runner = Runner(app, "w")
        expires = time.time_ns() // 1_000_000 + 60_000
        runner.clock_offset_ns += 120 * 10**9
        fate = prepare(runner, claimed(message(expires_ms=expires))).fate
        assert fate is not None
        assert fate.state == State.EXPIRED

    def test_the_first_start_is_that_of_the_first_attempt(self) -> None:
        app = StreamTasks()
        app.task(name="task")(print)
        first = started(app, claimed(message()))
        later = started(app, claimed(message(), first_started_ms=77))
        assert isinstance(first, Prepared)
        assert isinstance(later, Prepared)
        assert first.attempt.first_started_ms == first.attempt.started_ms
        assert later.attempt.first_started_ms == 77

    def test_progress_goes_where_the_child_says(self) -> None:
        app = StreamTasks()
        app.task(name="task")(lambda: current_attempt().set_progress(done=3, of=5))
        told: list[bytes] = []
        runner = Runner(app, "w")
        prepared = runner.prepare(claimed(message()), time.monotonic_ns(), told.append)
        assert isinstance(prepared, Prepared)
        assert runner.run(prepared).state == "SUCCESS"
        assert [read_progress(data) for data in told] == [("PROGRESS", {"done": 3, "of": 5})]


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
