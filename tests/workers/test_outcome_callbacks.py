"""What follows an outcome: its links, and the messages that call the hooks of one that no child has seen."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from streamtasks import Message, Retry
from streamtasks.exceptions import ParentFailed, TaskRevoked, TimeLimitExceeded
from streamtasks.protocol.callback_message import CALLBACK
from streamtasks.protocol.errors import describe
from streamtasks.protocol.json import dumps
from streamtasks.protocol.message import Message as Envelope
from streamtasks.protocol.state import Snapshot, State
from streamtasks_workers.executor.prepared import Prepared
from tests.support.attempt_case import Case, error_of, raising

NEXT = {"task": "next", "args": [7], "kwargs": {}, "immutable": False, "id": "id-2"}


@pytest.fixture(params=["plain", "coroutine"])
def kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


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
