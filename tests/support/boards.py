"""A board, and what a child puts on it."""

from __future__ import annotations

from typing import Any

from streamtasks.stores.types import Claimed, Outcome
from streamtasks_workers.process.board import Board

LEASE_NS = 30 * 10**9


def new_board() -> Board:
    """Return an empty board with four slots."""
    board = Board(0, 4)
    board.reset("w", "u0", LEASE_NS)
    return board


def message(n: int = 1, **changes: Any) -> Claimed:
    made = Claimed(f"id-{n}", "w#3", "0:default", f"170000000000{n}-0", 2, 1, 55, b"123 {}")
    return made._replace(**changes)


def success(claimed: Claimed, result: bytes = b'{"r":1}', **changes: Any) -> Outcome:
    made = Outcome(
        claimed.id, claimed.token, claimed.stream, claimed.entry, claimed.attempt, claimed.first_started_ms,
        99, "SUCCESS", result, "", 900_000,
    )  # fmt: skip
    return made._replace(**changes)


def place(board: Board, *claimed: Claimed, sequence: int = 3, recorded: bool = False) -> list[int]:
    board.sent(sequence)
    slots = board.place(sequence, list(claimed), recorded=recorded)
    assert slots is not None
    return slots
