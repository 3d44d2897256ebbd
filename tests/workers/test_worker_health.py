"""What probes are told: a worker is not restarted because its server is away."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from streamtasks import StoreSettings
from streamtasks_workers.monitor.health import WorkerHealth
from streamtasks_workers.process.board import Board
from tests.support.boards import message, new_board, place


def app(*, answered_s: float, child_silent_s: float, beat_s: float, board: Board | None = None) -> Any:
    """Return an app of one child: all of its times are ages."""
    now = time.monotonic()
    board = board or new_board()
    child: Any = SimpleNamespace(board=board, born_ns=round((now - child_silent_s) * 1e9))
    return SimpleNamespace(
        label="shop",
        settings=StoreSettings(),
        table=None,
        store=SimpleNamespace(answered_at=lambda _: now - answered_s),
        children={0: child},
        beats={"u0": now - beat_s},
    )


def health(one: Any, *, stopping: bool = False) -> WorkerHealth:
    return WorkerHealth([one], lambda: stopping)


def test_well() -> None:
    one = health(app(answered_s=0.1, child_silent_s=1, beat_s=3))
    assert one.live()[0] is True
    assert one.ready()[0] is True


def test_the_server_is_away() -> None:
    """Nobody reaches it: the worker is not ready, and not stuck."""
    one = health(app(answered_s=300, child_silent_s=300, beat_s=300))
    assert one.live()[0] is True
    is_ready, state = one.ready()
    assert (is_ready, state["status"]) == (False, "not ready")
    assert state["last_sign_of_life_s"]["shop"] >= 300.0


def test_a_child_is_stuck() -> None:
    is_well, state = health(app(answered_s=0.1, child_silent_s=300, beat_s=3)).live()
    assert (is_well, state["status"], state["children"][0]["stuck"]) == (False, "stuck", True)


def test_a_busy_child_may_be_silent() -> None:
    board = new_board()
    [slot] = place(board, message())
    assert board.start(slot)
    assert health(app(answered_s=0.1, child_silent_s=3000, beat_s=3, board=board)).live()[0] is True


def test_stopping() -> None:
    ready, state = health(app(answered_s=0.1, child_silent_s=1, beat_s=3), stopping=True).ready()
    assert (ready, state["status"]) == (False, "stopping")
