"""A child claims nothing while messages are on their way back from its board: others would come before them."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from streamtasks_workers.executor.inline import InlineExecutor
from streamtasks_workers.process.board import Board
from streamtasks_workers.process.exchange_words import HAND_BACK_NS
from streamtasks_workers.roles.watch import SHARE_NS, Watch
from tests.support.boards import message, place


class SlowStore:
    """A store whose hand-back takes until it is let go; what is asked of it in between is noted."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.begun, self.may_end = threading.Event(), threading.Event()

    async def hand_back(self, _tag: str, claimed: Any, **_: Any) -> list[bool]:
        self.begun.set()
        await asyncio.to_thread(self.may_end.wait)
        self.words.append("handed back")
        return [True] * len(claimed)

    async def mark_running(self, _tag: str, attempts: Any) -> list[bool]:
        return [True] * len(attempts)


class NotingLink:
    def __init__(self, words: list[str]) -> None:
        self.words = words

    def send(self, _outcomes: Any, _slots: Any, count: int, **_: Any) -> None:
        self.words.append(f"claimed {count}")


def executor_on(board: Board, words: list[str]) -> Any:
    executor: Any = InlineExecutor.__new__(InlineExecutor)
    executor._board, executor._link = board, NotingLink(words)
    executor._outcomes, executor._slots = [], []
    return executor


def stalled_board() -> Board:
    """A board on which one message has run for long, and another one waits behind it."""
    board = Board(0, 4)
    board.reset("c", "u0", 30_000_000_000)
    board.sent(3)
    first, _ = place(board, message(1), message(2), sequence=3)
    assert board.start(first)
    time.sleep(2 * SHARE_NS / 1e9)
    return board


def test_a_claim_waits_for_the_hand_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamtasks_workers.process.exchange_words.HAND_BACK_NS", 3600 * 1_000_000_000)
    words: list[str] = []
    board, store = stalled_board(), SlowStore(words)
    watch: Any = Watch(store, board)  # type: ignore[arg-type]
    keeper = threading.Thread(target=lambda: asyncio.run(watch.run_once()))
    child = threading.Thread(target=lambda: executor_on(board, words)._send(5, alone=True))
    try:
        keeper.start()
        assert store.begun.wait(60)
        child.start()
        executor_on(board, words)._send(0, alone=True)  # only settles: that is not waited for
        time.sleep(0.05)
        assert words == ["claimed 0"]
    finally:
        store.may_end.set()
    keeper.join()
    child.join()
    assert words == ["claimed 0", "handed back", "claimed 5"]


def test_a_keeper_that_died_is_not_waited_for() -> None:
    words: list[str] = []
    board = stalled_board()
    board.hand_back_begins()
    executor_on(board, words)._send(5, alone=True)
    assert words == ["claimed 5"]
    assert HAND_BACK_NS <= 100_000_000


def test_a_hand_back_that_fails_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamtasks_workers.process.exchange_words.HAND_BACK_NS", 3600 * 1_000_000_000)

    class BrokenStore(SlowStore):
        async def hand_back(self, _tag: str, claimed: Any, **_: Any) -> list[bool]:
            raise ConnectionError

    board = stalled_board()
    watch: Any = Watch(BrokenStore([]), board)  # type: ignore[arg-type]
    with pytest.raises(ConnectionError):
        asyncio.run(watch.run_once())
    words: list[str] = []
    executor_on(board, words)._send(5, alone=True)
    assert words == ["claimed 5"]
