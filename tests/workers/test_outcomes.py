"""What ends a message: retries by themselves, hooks, messages that never run, callbacks, and what follows."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from streamtasks import Attempt, AttemptOutcome, Message, Middleware, Retry, StreamTasks, current_attempt
from streamtasks.exceptions import ParentFailed, StoreUnavailable, TaskRevoked, TimeLimitExceeded
from streamtasks.protocol.errors import describe
from streamtasks.protocol.json import dumps, loads
from streamtasks.protocol.message import Message as Envelope
from streamtasks.protocol.state import Snapshot, State
from streamtasks.stores.types import Claimed, Outcome
from streamtasks.tasks.task import Task
from streamtasks_workers.executor.callbacks import CALLBACK
from streamtasks_workers.executor.prepared import Prepared
from streamtasks_workers.executor.runner import Runner

NEXT = {"task": "next", "args": [7], "kwargs": {}, "immutable": False, "id": "id-2"}


class Told(Middleware):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[str, AttemptOutcome]] = []
        self.retries: list[int] = []

    def after_outcome(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        self.outcomes.append((attempt.id, outcome))
        self.retries.append(attempt.retries)


class Hooked(Task[Any, Any]):
    """A task with hooks, which keeps what they are told."""

    log: list[Any]
    breaks: str = ""

    def before_start(self, attempt: Attempt) -> None:
        self.log.append("before")
        if self.breaks == "before":
            raise OSError("not ready")

    def after(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        assert current_attempt() is attempt
        self.log.append(outcome)
        if self.breaks == "after":
            raise SystemExit(1)


class Case:
    """One app with one task, and a runner for it."""

    def __init__(
        self, kind: str, function: Callable[..., Any], settings: dict[str, Any] | None = None, **options: Any
    ) -> None:
        self.told = Told()
        self.app = StreamTasks(middleware=[self.told], **settings or {})
        self.hooked: Hooked | None = None
        has_hooks = options.get("has_hooks")

        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        register: Any = self.app.task(name="task", **options)
        made = register(function if kind == "plain" else coroutine)
        if has_hooks:
            self.hooked = Hooked(self.app.pipeline, made.function, "task", made.options)
            self.hooked.log = []
            self.app.tasks["task"] = self.hooked
        self.records: dict[str, Snapshot] = {}
        self.away = False
        self.runner = Runner(self.app, "w", self.read)

    def read(self, ids: Any) -> list[Snapshot | None]:
        if self.away:
            raise StoreUnavailable("away")
        return [self.records.get(task_id) for task_id in ids]

    def prepare(self, message: dict[str, Any] | None = None, **claim: Any) -> Prepared | Outcome:
        values: dict[str, Any] = {"id": "id-1", "task": "task", **(message or {})}
        body = b"1000 " + Message(**values).encode(1 << 20)
        claimed = Claimed("id-1", "w#1", "0:default", "1-0", 1, 0, 0, body)._replace(**claim)
        prepared = self.runner.prepare(claimed, time.monotonic_ns(), lambda data: None)
        return prepared.outcome or prepared

    def run(self, message: dict[str, Any] | None = None, **claim: Any) -> Outcome:
        prepared = self.prepare(message, **claim)
        if isinstance(prepared, Outcome):
            return prepared
        if not prepared.is_async:
            return self.runner.run(prepared)
        with asyncio.Runner() as loop:
            return loop.run(self.runner.arun(prepared))


@pytest.fixture(params=["plain", "coroutine"])
def kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


def raising(error: BaseException) -> Callable[..., None]:
    def task() -> None:
        raise error

    return task


def error_of(outcome: Outcome) -> dict[str, str]:
    found: dict[str, str] = loads(outcome.result)["e"]
    return found


class TestAutomaticRetries:
    def test_named_errors_and_no_others_are_retried(self, kind: str) -> None:
        options: dict[str, Any] = {"autoretry_for": (OSError,), "dont_autoretry_for": (PermissionError,)}
        assert Case(kind, raising(FileNotFoundError()), **options).run().state == "RETRY"
        assert Case(kind, raising(PermissionError()), **options).run().state == "FAILURE"
        assert Case(kind, raising(ValueError()), **options).run().state == "FAILURE"

    def test_the_report_and_the_last_failure_hold_the_error(self, kind: str) -> None:
        case = Case(kind, raising(OSError("disk")), autoretry_for=(OSError,), max_retries=2, retry_delay_s=5)
        outcome = case.run(retries=1)
        assert (outcome.state, outcome.delay_ms) == ("RETRY", 5000)
        assert loads(outcome.note.encode())["error"]["message"] == "disk"
        outcome = case.run(retries=2)
        assert (outcome.state, error_of(outcome)["type"]) == ("FAILURE", "builtins.OSError")

    def test_a_message_s_own_numbers_win(self, kind: str) -> None:
        case = Case(kind, raising(OSError()), autoretry_for=(OSError,), max_retries=0)
        outcome = case.run({"max_retries": 1, "retry_delay_s": 2.0})
        assert (outcome.state, outcome.delay_ms) == ("RETRY", 2000)

    def test_the_delay_doubles_up_to_a_bound(self, kind: str) -> None:
        case = Case(
            kind,
            raising(OSError()),
            autoretry_for=(OSError,),
            max_retries=None,
            retry_backoff_s=2.0,
            retry_backoff_max_s=10.0,
            retry_jitter=False,
        )
        assert [case.run(retries=n).delay_ms for n in range(4)] == [2000, 4000, 8000, 10_000]

    def test_jitter_stays_below(self, kind: str) -> None:
        case = Case(kind, raising(OSError()), autoretry_for=(OSError,), max_retries=None, retry_backoff_s=2.0)
        delays = {case.run(retries=1).delay_ms for _ in range(20)}
        assert len(delays) > 5
        assert all(0 <= delay <= 4000 for delay in delays)


class TestRetryByHand:
    def test_its_own_bound_wins_over_all_others(self, kind: str) -> None:
        call = {"max_retries": 9}
        assert Case(kind, raising(Retry(max_retries=0)), max_retries=9).run(call).state == "FAILURE"
        assert Case(kind, raising(Retry(max_retries=3)), max_retries=0).run(retries=2).state == "RETRY"
        assert Case(kind, raising(Retry(max_retries=-1)), max_retries=0).run(retries=2000).state == "RETRY"

    def test_the_reason_is_reported_and_fails_in_the_end(self, kind: str) -> None:
        case = Case(kind, raising(Retry("again", exc=KeyError("reason"), delay_s=0)), max_retries=1)
        assert loads(case.run().note.encode())["error"]["type"] == "builtins.KeyError"
        assert error_of(case.run(retries=1))["type"] == "builtins.KeyError"
        assert [type(outcome.error) for _, outcome in case.told.outcomes] == [KeyError, KeyError]


class TestHooks:
    @pytest.mark.parametrize(
        ("task", "state"),
        [(lambda: 5, "SUCCESS"), (raising(ValueError()), "FAILURE"), (raising(Retry()), "RETRY")],
    )
    def test_they_run_around_the_task_before_middleware_hears(self, kind: str, task: Any, state: str) -> None:
        case = Case(kind, task, has_hooks=True)
        assert case.run().state == state
        assert case.hooked is not None
        before, outcome = case.hooked.log
        assert (before, outcome.state) == ("before", state)
        assert case.told.outcomes == [("id-1", outcome)] or case.told.outcomes[0][1].state == state

    def test_an_error_before_the_start_fails_the_attempt(self, kind: str) -> None:
        case = Case(kind, lambda: 5, has_hooks=True)
        assert case.hooked is not None
        case.hooked.breaks = "before"
        assert error_of(case.run())["message"] == "not ready"

    def test_an_error_afterwards_is_logged_and_changes_nothing(
        self, kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        case = Case(kind, lambda: 5, has_hooks=True)
        assert case.hooked is not None
        case.hooked.breaks = "after"
        assert case.run().state == "SUCCESS"
        assert "a hook failed for task id-1 (task)" in caplog.text
        assert [outcome.state for _, outcome in case.told.outcomes] == [State.SUCCESS]

    def test_a_task_with_hooks_is_settled_right_away(self, kind: str) -> None:
        with_hooks, without = Case(kind, print, has_hooks=True).prepare(), Case(kind, print).prepare()
        assert isinstance(with_hooks, Prepared)
        assert isinstance(without, Prepared)
        assert (with_hooks.settles_alone, without.settles_alone) == (True, False)


def never() -> None:
    raise AssertionError("it ran")


class TestWithoutARun:
    @pytest.mark.parametrize(
        ("claim", "message", "state", "error"),
        [
            ({"skip_reason": "revoked"}, {}, "REVOKED", TaskRevoked),
            ({"skip_reason": "parent p-1"}, {}, "FAILURE", ParentFailed),
            ({}, {"expires_ms": 5}, "EXPIRED", type(None)),
        ],
    )
    def test_hooks_hear_of_it_and_error_links_follow(
        self, kind: str, claim: Any, message: Any, state: str, error: type
    ) -> None:
        case = Case(kind, never, has_hooks=True)
        outcome = case.run({**message, "error_links": [NEXT], "links": [NEXT]}, **claim)
        assert (outcome.state, outcome.started_ms) == (state, 0)
        assert case.hooked is not None
        [heard] = case.hooked.log
        assert (heard.state, type(heard.error)) == (state, error)
        assert [one.state for _, one in case.told.outcomes] == [state]
        [following] = outcome.follow
        assert following.id == "id-2"
        assert Envelope.decode(following.envelope).args[0] == "id-1"

    def test_the_parent_is_named(self, kind: str) -> None:
        assert "p-1" in error_of(Case(kind, never).run(skip_reason="parent p-1"))["message"]

    def test_it_ends_also_where_its_task_is_unknown(self, kind: str) -> None:
        case = Case(kind, never)
        assert case.run({"task": "elsewhere"}, skip_reason="revoked").state == "REVOKED"
        assert case.run({"task": "elsewhere", "expires_ms": 5}).state == "EXPIRED"


class TestFollowing:
    def test_a_success_is_followed_by_its_links_with_the_value(self, kind: str) -> None:
        outcome = Case(kind, lambda: 5).run({"links": [NEXT], "error_links": [NEXT]})
        [following] = outcome.follow
        assert Envelope.decode(following.envelope).args == [5, 7]

    def test_a_failure_is_followed_by_its_error_links(self, kind: str) -> None:
        outcome = Case(kind, raising(ValueError("bad"))).run({"links": [NEXT], "error_links": [NEXT]})
        [following] = outcome.follow
        task_id, text, traceback, own = Envelope.decode(following.envelope).args
        assert (task_id, text, own) == ("id-1", "bad", 7)
        assert "ValueError" in traceback

    def test_a_retry_and_an_ignored_one_are_followed_by_nothing(self, kind: str) -> None:
        from streamtasks import Ignore

        for error in (Retry(), Ignore()):
            assert Case(kind, raising(error)).run({"links": [NEXT], "error_links": [NEXT]}).follow == ()


def finished(state: State, error: BaseException | None = None, **changes: Any) -> Snapshot:
    envelope = Message(id="id-1", task="task", error_links=[NEXT]).encode(1 << 20)
    result = dumps({"e": describe(error)}) if error is not None else b""
    values: dict[str, Any] = {"attempts": 3, "started_ms": 50, "first_started_ms": 40, "finished_ms": 60, **changes}
    return Snapshot("id-1", state, envelope, 30, worker="other", result=result, **values)


CALL = {"id": "cb.1", "task": CALLBACK, "args": ["id-1"]}


class TestCallbackMessages:
    @pytest.mark.parametrize(
        ("state", "error"),
        [
            (State.FAILURE, TimeLimitExceeded("too long")),
            (State.DEAD, ValueError("crashed")),
            (State.REVOKED, None),
        ],
    )
    def test_hooks_hear_what_the_record_says(self, kind: str, state: State, error: BaseException | None) -> None:
        case = Case(kind, never, has_hooks=True)
        case.records["id-1"] = finished(state, error, reports=[{"kind": "RETRY"}, {"kind": "CRASH"}])
        prepared = case.prepare(CALL)
        assert isinstance(prepared, Prepared)
        assert prepared.settles_alone
        outcome = case.run(CALL)
        assert (outcome.state, outcome.result) == ("CALLED", b"")
        assert case.hooked is not None
        [heard] = case.hooked.log
        assert heard.state == state
        assert type(heard.error) is (TaskRevoked if error is None else type(error))
        assert case.told.outcomes == [("id-1", heard)]
        assert [following.id for following in outcome.follow] == ["id-2"]

    def test_retries_count_although_their_reports_were_left_out(self, kind: str) -> None:
        case = Case(kind, never, has_hooks=True)
        left_out = {"kind": "OMITTED", "of": {"RETRY": 1475, "CRASH": 2}}
        reports = [{"kind": "RETRY", "attempt": 1}, left_out, {"kind": "RETRY", "attempt": 1479}]
        case.records["id-1"] = finished(State.FAILURE, ValueError("last"), reports=reports)
        case.run(CALL)
        case.run({**CALL, "args": ["id-1", 1479]})
        case.run({**CALL, "args": ["id-1", 1]})
        assert case.told.retries == [1477, 1476, 0]

    def test_hooks_hear_of_an_attempt_that_was_run_again(self, kind: str) -> None:
        case = Case(kind, never, has_hooks=True)
        error = describe(TimeLimitExceeded("too long"))
        reports = [
            {"kind": "RETRY", "attempt": 1},
            {"kind": "CRASH", "attempt": 2},
            {"kind": "RETRY", "attempt": 3, "worker": "other", "started": 50, "finished": 55, "error": error},
        ]
        case.records["id-1"] = finished(State.FAILURE, ValueError("later"), reports=reports)
        outcome = case.run({**CALL, "args": ["id-1", 3]})
        assert (outcome.state, outcome.follow) == ("CALLED", ())
        assert case.hooked is not None
        [heard] = case.hooked.log
        assert (heard.state, type(heard.error), str(heard.error)) == (State.RETRY, TimeLimitExceeded, "too long")
        assert case.run({**CALL, "args": ["id-1", 2]}).state == "CALLED"
        assert len(case.hooked.log) == 1, "that one was not run again by an outcome"

    def test_of_a_record_that_is_gone_nothing_is_told(self, kind: str) -> None:
        case = Case(kind, never)
        outcome = case.run(CALL)
        assert (outcome.state, outcome.follow, case.told.outcomes) == ("CALLED", (), [])

    def test_it_is_tried_again_while_the_store_is_away(self, kind: str) -> None:
        case = Case(kind, never)
        case.away = True
        outcome = case.run(CALL)
        assert (outcome.state, outcome.delay_ms) == ("RETRY", 1000)

    def test_another_worker_does_it_if_the_task_is_unknown_here(
        self, kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        case = Case(kind, never)
        case.records["id-1"] = finished(State.REVOKED)
        del case.app.tasks["task"]
        assert case.run(CALL).state == "RETRY"
        with caplog.at_level(logging.ERROR):
            assert case.run(CALL, attempt=case.app.settings.unknown_task_limit).state == "CALLED"
        assert "no live worker knows task task" in caplog.text

    @pytest.mark.parametrize("args", [[], ["a", "b"], [3]])
    def test_one_made_wrongly_does_no_harm(self, kind: str, args: list[Any]) -> None:
        assert Case(kind, never).run({**CALL, "args": args}).state == "CALLED"


class TestIgnoredResults:
    @pytest.mark.parametrize(
        ("setting", "task", "call", "stored"),
        [
            (False, None, None, True),
            (True, None, None, False),
            (True, False, None, True),
            (False, True, None, False),
            (True, True, False, True),
            (False, False, True, False),
        ],
    )
    def test_the_call_wins_over_the_task_and_that_over_the_settings(
        self, kind: str, *, setting: bool, task: bool | None, call: bool | None, stored: bool
    ) -> None:
        case = Case(kind, lambda: 7, {"ignore_result": setting}, ignore_result=task)
        outcome = case.run({"ignore_result": call})
        assert (outcome.state, outcome.result) == ("SUCCESS", b'{"r":7}' if stored else b"")
        assert case.told.outcomes[0][1].value == 7

    def test_a_link_gets_the_value(self, kind: str) -> None:
        case = Case(kind, lambda: 7, ignore_result=True)
        outcome = case.run({"links": [NEXT | {"args": []}]})
        assert outcome.result == b""
        assert Envelope.decode(outcome.follow[0].envelope).args == [7]

    def test_in_a_workflow_it_is_stored(self, kind: str) -> None:
        case = Case(kind, lambda: 7, ignore_result=True)
        assert case.run({"id": f"{'0' * 32}-u0.w1"}, id=f"{'0' * 32}-u0.w1").result == b'{"r":7}'

    def test_a_value_that_json_cannot_carry_does_no_harm(self, kind: str) -> None:
        assert Case(kind, object, ignore_result=True).run().state == "SUCCESS"
