"""What ends a message: retries by themselves, hooks, messages that never run, callbacks, and what follows."""

from __future__ import annotations

from typing import Any

import pytest

from streamtasks import Retry
from streamtasks.protocol.json import loads
from streamtasks.protocol.message import Message as Envelope
from streamtasks.protocol.state import State
from streamtasks_workers.executor.prepared import Prepared
from tests.support.attempt_case import Case, error_of, raising

NEXT = {"task": "next", "args": [7], "kwargs": {}, "immutable": False, "id": "id-2"}


@pytest.fixture(params=["plain", "coroutine"])
def kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


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
