"""A child that alone does not reach the store is told from one whose server has ended."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from streamtasks.settings import StoreSettings
from streamtasks_workers.process.board import Board
from streamtasks_workers.roles.watched_child import LATER_S, WatchedChild


@pytest.mark.parametrize(("later_s", "is_cut_off"), [(-0.1, False), (0.01, False), (LATER_S + 0.1, True)])
def test_the_keepers_answer_counts_if_it_came_later(later_s: float, is_cut_off: bool) -> None:
    board, answered = Board(0, 4), [0.0]
    board.reset("w-1", "u0", 10**10)
    store: Any = SimpleNamespace(answered_at=lambda _: answered[0])
    child = WatchedChild(board, store, StoreSettings(), lambda *_: None, single=True)
    board.away()
    answered[0] = time.monotonic() + later_s
    list(child.look(stopping=False))
    assert bool(board.cut_off_since()) is is_cut_off
