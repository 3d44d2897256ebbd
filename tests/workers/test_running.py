"""One attempt: what a task returns or raises becomes an outcome."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any

import pytest

from streamtasks import (
    Ignore,
    Retry,
    StreamTasks,
    StreamTasksError,
    current_attempt,
)
from streamtasks.protocol.json import loads
from streamtasks.protocol.state import State, decode_progress
from streamtasks.settings import MIN_DEDUP_S
from streamtasks.stores.types import Outcome
from streamtasks_workers.executor.prepared import Prepared
from streamtasks_workers.executor.runner import Runner
from tests.support.attempts import FAILURE_MS, SUCCESS_MS, Run, claimed, error_of, message, prepare, raising, started


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

    def test_a_large_result_is_recorded_and_warned_of(
        self, run: Run, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("streamtasks.protocol.sizes._warned", set())
        assert run(lambda: "x" * 15_000_000).state == "SUCCESS"
        assert [record.name for record in caplog.records if "takes 15000" in record.getMessage()] == [
            "streamtasks.tasks"
        ]

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
        assert prepare(runner, claimed(message(expires_ms=future))).skipped is None

    def test_expiry_is_judged_by_the_stores_clock(self) -> None:
        app = StreamTasks()
        app.task(name="task")(print)
        runner = Runner(app, "w")
        expires = time.time_ns() // 1_000_000 + 60_000
        runner.clock_offset_ns += 120 * 10**9
        skipped = prepare(runner, claimed(message(expires_ms=expires))).skipped
        assert skipped is not None
        assert skipped.state == State.EXPIRED

    def test_the_first_start_is_that_of_the_first_attempt(self) -> None:
        app = StreamTasks()
        app.task(name="task")(print)
        first = started(app, claimed(message()))
        later = started(app, claimed(message(), first_started_ms=77))
        assert isinstance(first, Prepared)
        assert isinstance(later, Prepared)
        assert first.attempt is not None
        assert later.attempt is not None
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
        assert [decode_progress(data) for data in told] == [("PROGRESS", {"done": 3, "of": 5})]
