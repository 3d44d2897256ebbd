"""The role that renews leases: whom it fences, and whom not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streamtasks import StoreSettings
from streamtasks.stores.types import Claimed
from streamtasks_workers.process.board import Board
from streamtasks_workers.roles import leases
from streamtasks_workers.roles.leases import Leases

TOKEN = "child#1"


class Renewals:
    """A store that holds no lease any more; ``then`` happens between its answer and the role's second look."""

    def __init__(self, then: Any) -> None:
        self._then = then

    async def renew(self, tag: str, tokens: list[str]) -> list[bool]:
        self._then()
        return [False for _ in tokens]


def board_that_runs() -> tuple[Board, int]:
    board = Board(0, 4)
    board.reset("child", "u0", 60 * 10**9)
    board.sent(1)
    [slot] = board.place(1, [Claimed("id", TOKEN, "0:default", "1-1", 1, 0, 0, b"1 {}", "")], recorded=True) or []
    assert board.start(slot)
    return board, slot


async def killed(board: Board, monkeypatch: pytest.MonkeyPatch, while_waiting: Any) -> list[str]:
    found: list[str] = []

    async def sleep(_: float) -> None:
        while_waiting()

    monkeypatch.setattr(leases, "asyncio", SimpleNamespace(sleep=sleep))
    watch = SimpleNamespace(in_flight=lambda: {"u0": {TOKEN: [0]}})
    child = SimpleNamespace(board=board, watch=watch, kill=found.append)
    app: Any = SimpleNamespace(
        children={0: child},
        settings=StoreSettings(lease_s=1.0),
        store=Renewals(lambda: None),
        counters=None,
    )
    await Leases(app).run_once()
    return found


async def test_a_child_that_runs_what_is_no_longer_its_own_is_fenced(monkeypatch: pytest.MonkeyPatch) -> None:
    board, _ = board_that_runs()
    [why] = await killed(board, monkeypatch, lambda: None)
    assert "belongs to another worker" in why


async def test_one_whose_large_outcome_was_just_settled_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows as running until its child has read the reply."""
    board, slot = board_that_runs()
    assert await killed(board, monkeypatch, lambda: board.free(slot)) == []
