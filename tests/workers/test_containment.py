"""Whatever a task raises ends its attempt, and neither the child nor the loop in which it ran."""

from __future__ import annotations

import pytest

from streamtasks import Retry, StreamTasks
from streamtasks.protocol.validation import MAX_SECONDS
from streamtasks.stores.types import Outcome
from streamtasks_workers.executor.runner import Runner
from streamtasks_workers.process.board import Board
from tests.support.attempts import Run, claimed, error_of, message, raising, started


class ErrorWithHostileText(Exception):
    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __str__(self) -> str:
        raise self.kind


class HostileInstanceCheck(type):
    def __instancecheck__(cls, instance: object) -> bool:
        raise SystemExit


class HostileClass(Exception, metaclass=HostileInstanceCheck):
    pass


@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit, KeyboardInterrupt, MemoryError])
def test_an_error_whose_text_raises(run: Run, kind: type[BaseException]) -> None:
    outcome = run(raising(ErrorWithHostileText(kind)))
    assert outcome.state == "FAILURE"
    assert error_of(outcome)["type"].endswith("ErrorWithHostileText")


@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit])
def test_a_retry_whose_reason_has_a_hostile_text(run: Run, kind: type[BaseException]) -> None:
    assert run(raising(Retry(exc=ErrorWithHostileText(kind)))).state == "RETRY"


def test_an_error_that_cannot_be_compared(run: Run) -> None:
    assert run(raising(ValueError()), autoretry_for=(HostileClass,)).state == "FAILURE"


@pytest.mark.parametrize("delay_s", [1e306, 1e18, 10**400], ids=["1e306", "1e18", "10**400"])
def test_a_delay_that_no_board_can_hold(run: Run, delay_s: float) -> None:
    outcome = run(raising(Retry(delay_s=delay_s)))
    assert outcome.state == "FAILURE"
    assert "up to 100 years" in error_of(outcome)["message"]


def test_the_longest_delay_reaches_the_board(run: Run) -> None:
    outcome = run(raising(Retry(delay_s=MAX_SECONDS)))
    board = Board(0, 1)
    board.reset("w", "u0", 10**10)
    [slot] = board.place(1, [claimed(message())], recorded=False) or []
    started_ns = board.start(slot)
    assert board.finish(slot, outcome, started_ns)
    assert board.outcome(slot).delay_ms == outcome.delay_ms == MAX_SECONDS * 1000


@pytest.mark.parametrize("field", ["soft_limit_s", "hard_limit_s", "retry_delay_s"])
@pytest.mark.parametrize("seconds", [1e306, -1.0])
def test_a_message_with_a_number_that_no_board_can_hold(field: str, seconds: float) -> None:
    app = StreamTasks()
    app.task(name="task")(print)
    outcome = started(app, claimed(message(**{field: seconds})))
    assert isinstance(outcome, Outcome)
    assert (outcome.state, outcome.note) == ("DEAD", "undecodable")


@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit])
def test_what_fails_outside_the_task_is_its_failure(
    run: Run, kind: type[BaseException], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise kind

    monkeypatch.setattr(Runner, "_success", fail)
    monkeypatch.setattr(Runner, "_failure", fail)
    outcome = run(lambda: None)
    assert outcome.state == "FAILURE"
    assert "failed outside its task's own code" in caplog.text
