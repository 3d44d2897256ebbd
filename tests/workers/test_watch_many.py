"""A keeper reads each of many long attempts once: a child may run thousands of them side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from streamtasks_workers.process.board import Interrupt
from streamtasks_workers.roles import watch
from streamtasks_workers.roles.watch import Watch
from tests.support.boards import message, new_board, place, success

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamtasks.stores.types import Claimed
    from streamtasks_workers.process.board import Board


class Store:
    """Notes which attempts it is to show as running."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    async def mark_running(self, _: str, attempts: Sequence[tuple[Claimed, int]]) -> list[bool]:
        self.shown += [claimed.id for claimed, _ in attempts]
        return [True] * len(attempts)


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Board:
    monkeypatch.setattr(watch, "SHARE_NS", 0)
    return new_board()


async def test_each_long_attempt_is_read_and_shown_once(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    store: Any = Store()
    looks, read, claimed = Watch(store, board), list[int](), board.claimed

    def noted(slot: int) -> Claimed:
        read.append(slot)
        return claimed(slot)

    monkeypatch.setattr(board, "claimed", noted)
    slots = place(board, *map(message, (1, 2, 3)))
    starts = {slot: board.start(slot) for slot in slots}
    for _ in range(3):
        await looks.run_once()
    assert sorted(store.shown) == [message(number).id for number in (1, 2, 3)]
    assert sorted(read) == sorted(slots)

    board.finish(slots[0], success(message(1)), starts[slots[0]])
    board.free(slots[0])
    [again] = place(board, message(4), sequence=4)
    assert again == slots[0]
    board.start(again)
    await looks.run_once()
    assert store.shown[3:] == [message(4).id], "the next attempt in the same slot is another one"


async def test_an_attempt_whose_start_its_claim_recorded_is_not_shown_again(board: Board) -> None:
    store: Any = Store()
    [slot] = place(board, message(), recorded=True)
    board.start(slot)
    await Watch(store, board).run_once()
    assert store.shown == []


def test_only_attempts_over_a_limit_or_asked_to_end_are_looked_at(board: Board) -> None:
    slots = place(board, *map(message, (1, 2, 3, 4)))
    starts = [board.start(slot) for slot in slots]
    soon, later, asked, _ = slots
    board.limit(soon, starts[0], 1.0, None, -1)
    board.limit(later, starts[1], None, 60.0, -1)
    board.request_interrupt(asked, starts[2], Interrupt.REVOKED)
    assert board.overdue(slots, starts[3]) == [asked]
    assert board.overdue(slots, starts[0] + 10**9) == [soon, asked]
    assert board.overdue(slots, starts[1] + 60 * 10**9) == [soon, later, asked]
