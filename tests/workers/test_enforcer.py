"""What the keeper asks of attempts over their limit, when it ends them, and how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from streamtasks.codec import loads
from streamtasks.settings import StoreSettings
from streamtasks.transitions import Outcome
from streamtasks_workers.board import Ask, Board, Slot
from streamtasks_workers.roles import enforcer as module
from streamtasks_workers.roles.enforcer import Enforcer
from streamtasks_workers.roles.verdicts import verdict_on
from tests.workers.test_board import LEASE_NS, message, place, success

LONG_AGO_NS = 10**9


class Case:
    """A child with one running attempt, and what its keeper did."""

    def __init__(self, *, single: bool) -> None:
        self.board = Board(0, 4)
        self.board.reset("w", "u0", LEASE_NS)
        self.log: list[str] = []
        self.settled: list[Outcome] = []
        self.enforcer = Enforcer(
            self,  # type: ignore[arg-type]
            StoreSettings(),
            self.board,
            single=single,
            interrupt=lambda: self.log.append("interrupt"),
            retire=lambda why: self.log.append(f"retire: {why}"),
            kill=lambda why: self.log.append(f"kill: {why}"),
        )
        self.slot, self.started = self.begin(1)

    def begin(self, number: int) -> tuple[int, int]:
        [slot] = place(self.board, message(number))
        return slot, self.board.start(slot)

    def limit(self, soft_s: float | None = None, hard_s: float | None = None, retry_ms: int = -1) -> None:
        """Set limits that began to count a second ago."""
        self.board.limit(self.slot, self.started - LONG_AGO_NS, soft_s, hard_s, retry_ms)

    async def settle(self, tag: str, outcomes: Sequence[Outcome], callbacks: str = "") -> list[Any]:
        assert (tag, callbacks) == ("u0", "all")
        self.settled += outcomes
        return []

    async def look(self) -> None:
        slots = self.enforcer.look()
        if slots:
            await self.enforcer.run_once(slots)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no time pass between a wish and the end."""
    for name in ("ANSWER_NS", "LIMIT_NS", "REVOKED_NS"):
        monkeypatch.setattr(module, name, 0)


async def test_without_limits_nothing_is_looked_at() -> None:
    case = Case(single=True)
    assert not case.board.watched
    await case.look()
    assert case.log == []


async def test_limits_that_are_not_reached_do_nothing() -> None:
    case = Case(single=True)
    case.limit(60, 90)
    await case.look()
    assert case.log == []


async def test_at_a_soft_limit_the_task_is_asked_and_never_killed(hasty: None) -> None:
    case = Case(single=True)
    case.limit(0.5, 60)
    for _ in range(5):
        await case.look()
    assert case.log == ["interrupt"]
    assert case.board.asked(case.slot, case.started) == Ask.SOFT_LIMIT


async def test_a_wish_is_repeated_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_NS", 0)
    case = Case(single=True)
    case.limit(0.5)
    for _ in range(20):
        await case.look()
    assert case.log == ["interrupt"] * module.TIMES


async def test_at_a_hard_limit_a_single_attempt_takes_its_child_with_it() -> None:
    case = Case(single=True)
    case.limit(None, 0.5)
    await case.look()
    await case.look()
    assert case.log == ["kill: task id-1 ran for longer than its time limit"]
    assert case.board.given_up(case.slot) == Ask.HARD_LIMIT


async def test_beside_others_it_is_asked_then_settled_and_the_child_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LIMIT_NS", 0)
    case = Case(single=False)
    sibling, _ = case.begin(2)
    case.limit(None, 0.5)
    case.enforcer.look()
    case.board.answer()  # its loop lives
    await case.look()
    await case.look()
    assert case.log == ["interrupt", "retire: task id-1 ran for longer than its time limit and does not end"]
    [outcome] = case.settled
    assert (outcome.id, outcome.state) == ("id-1", "FAILURE")
    assert "time limit of" in loads(outcome.result)["e"]["message"]
    # With its last sibling it has nothing left to do.
    case.board.free(sibling)
    await case.look()
    assert case.log[2:] == ["kill: nothing is left in it but attempts that do not end"]


async def test_a_child_that_does_not_answer_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_NS", 0)
    case = Case(single=False)
    case.limit(None, 0.5)
    await case.look()
    assert case.log[-1].startswith("kill: task id-1")
    assert case.settled == [], "what it was ended for is settled when it is dead"


async def test_an_attempt_that_ended_in_time_is_left_alone(hasty: None) -> None:
    case = Case(single=False)
    case.limit(None, 0.5)
    slots = case.enforcer.look()
    case.board.finish(case.slot, success(message()), case.started)
    await case.enforcer.run_once(slots or [case.slot])
    assert case.settled == []
    assert case.board.states()[case.slot] == Slot.FINISHED


async def test_a_slot_that_is_used_again_has_neither_wish_nor_verdict() -> None:
    case = Case(single=True)
    case.limit(None, 0.5)
    await case.look()
    case.board.finish(case.slot, success(message()), case.started)
    case.board.free(case.slot)
    slot, started = case.begin(2)
    assert slot == case.slot
    assert (case.board.given_up(slot), case.board.asked(slot, started)) == (0, 0)
    assert case.board.limits(slot)[:2] == (0, 0)


async def test_a_revoked_one_has_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(single=True)
    case.board.ask(case.slot, case.started, Ask.REVOKED)
    await case.look()
    assert case.log == ["interrupt"]
    monkeypatch.setattr(module, "REVOKED_NS", 0)
    await case.look()
    assert case.log[-1] == "kill: task id-1 was revoked"
    assert case.board.given_up(case.slot) == Ask.REVOKED


class TestVerdicts:
    def test_a_hard_limit_may_be_retried(self) -> None:
        case = Case(single=True)
        case.limit(None, 0.5, 250)
        outcome = verdict_on(case.board, case.slot, Ask.HARD_LIMIT, StoreSettings())
        assert (outcome.state, outcome.delay_ms) == ("RETRY", 250)
        assert loads(outcome.note.encode())["error"]["type"] == "streamtasks.exceptions.TimeLimitExceeded"

    def test_a_revoked_one_has_no_result(self) -> None:
        case = Case(single=True)
        outcome = verdict_on(case.board, case.slot, Ask.REVOKED, StoreSettings())
        assert (outcome.state, outcome.result) == ("REVOKED", b"")

    def test_a_callback_message_leaves_nothing(self) -> None:
        case = Case(single=True)
        [slot] = place(case.board, message(id="cb." + "0" * 40))
        case.board.start(slot)
        assert verdict_on(case.board, slot, Ask.HARD_LIMIT, StoreSettings()).state == "CALLED"
