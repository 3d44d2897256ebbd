"""The keeper stores every attempt's progress, also in a slot in which another one showed some, or after an outage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from streamtasks import StoreUnavailable
from streamtasks_workers.roles import watch
from streamtasks_workers.roles.watch import Watch
from tests.support.boards import message, new_board, place, success

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamtasks.stores.types import Claimed
    from streamtasks_workers.process.board import Board


class Store:
    """Notes the progress it is given, by task; it does not answer while it is away."""

    def __init__(self) -> None:
        self.is_away = False
        self.stored: list[tuple[str, bytes]] = []

    async def mark_running(self, _: str, attempts: Sequence[tuple[Claimed, int]]) -> list[bool]:
        return [True] * len(attempts)

    async def progress(self, _: str, reports: Sequence[tuple[Claimed, bytes]]) -> list[bool]:
        if self.is_away:
            raise StoreUnavailable("away")
        self.stored += [(claimed.id, data) for claimed, data in reports]
        return [True] * len(reports)


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Board:
    for name in ("SHARE_NS", "PROGRESS_NS"):
        monkeypatch.setattr(watch, name, 0)
    return new_board()


def start(board: Board, number: int) -> tuple[int, int]:
    """Start a task in a free slot; return the slot and when it started."""
    [slot] = place(board, message(number), sequence=number)
    return slot, board.start(slot)


async def test_the_next_attempt_in_a_slot(board: Board) -> None:
    store: Any = Store()
    looks = Watch(store, board)
    start(board, 1)  # runs all the time: the board is never empty
    slot, started = start(board, 2)
    board.report(slot, b"1")
    await looks.run_once()
    board.finish(slot, success(message(2)), started)
    board.free(slot)
    again, _ = start(board, 3)
    assert again == slot
    board.report(again, b"2")
    await looks.run_once()
    await looks.run_once()
    assert store.stored == [(message(2).id, b"1"), (message(3).id, b"2")]


async def test_a_store_that_was_away(board: Board) -> None:
    store: Any = Store()
    looks = Watch(store, board)
    slot, _ = start(board, 1)
    board.report(slot, b"1")
    store.is_away = True
    with pytest.raises(StoreUnavailable):
        await looks.run_once()
    store.is_away = False
    await looks.run_once()
    assert store.stored == [(message(1).id, b"1")]
