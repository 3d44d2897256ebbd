"""What a keeper does with messages that were revoked while a child holds them."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from streamtasks import StoreSettings
from streamtasks.stores.types import Claimed
from streamtasks_workers.process.board import Board, Interrupt, Slot
from streamtasks_workers.process.options import WorkerOptions
from streamtasks_workers.roles.base import ServedApp
from streamtasks_workers.roles.revocations import Revocations
from tests.support.boards import LEASE_NS, message, place

SOON_S = 1.0
"""What is wanted and not found is looked for again sooner than that, seconds; else the next look is far."""


class Store:
    """Notes what is handed back; tells what it is told to tell."""

    def __init__(self) -> None:
        self.returned: list[str] = []
        self.skip_reason: dict[str, str] = {}

    async def hand_back(self, tag: str, claimed: Sequence[Claimed], **_: Any) -> list[bool]:
        assert tag == "u0"
        self.returned += [c.id for c in claimed]
        return [True] * len(claimed)

    async def revocations(self, tag: str, claimed: Sequence[Claimed]) -> list[str]:
        assert tag == "u0"
        return [self.skip_reason.get(c.id, "") for c in claimed]


@pytest.fixture
def board() -> Board:
    made = Board(0, 4)
    made.reset("w", "u0", LEASE_NS)
    return made


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def revocations(board: Board, store: Store) -> Revocations:
    child: Any = SimpleNamespace(board=board)
    app = ServedApp("shop", StoreSettings(), store, WorkerOptions(), children={0: child})  # type: ignore[arg-type]
    return Revocations(app)


async def test_what_has_not_started_is_handed_back(board: Board, store: Store, revocations: Revocations) -> None:
    one, other = place(board, message(1), message(2))
    revocations.heard("u0", "revoke id-1 0")
    assert await revocations.run_once() > SOON_S, "it is found"
    assert store.returned == ["id-1"]
    assert board.states()[one] == Slot.RETURNED
    assert board.start(one) == 0, "the child cannot start it any more"
    assert board.start(other)


@pytest.mark.parametrize("terminate", [True, False])
async def test_what_runs_is_asked_to_end_if_that_is_wanted(
    board: Board, store: Store, revocations: Revocations, terminate: bool
) -> None:
    [slot] = place(board, message())
    started = board.start(slot)
    revocations.heard("u0", f"revoke id-1 {terminate:d}")
    await revocations.run_once()
    assert board.requested_interrupt(slot, started) == (Interrupt.REVOKED if terminate else Interrupt.NONE)
    assert board.requested_interrupt(slot, started - 1) == Interrupt.NONE, "it is asked of this attempt only"
    assert store.returned == []


async def test_a_message_that_arrives_after_the_news_is_found(
    board: Board, store: Store, revocations: Revocations
) -> None:
    revocations.heard("u0", "revoke id-1 1")
    assert await revocations.run_once() < SOON_S, "it is looked for"
    place(board, message())
    assert await revocations.run_once() > SOON_S
    assert store.returned == ["id-1"]


async def test_of_another_shard_nothing_is_touched(board: Board, store: Store, revocations: Revocations) -> None:
    place(board, message())
    revocations.heard("u1", "revoke id-1 1")
    assert await revocations.run_once() < SOON_S
    assert store.returned == []


async def test_a_child_that_stands_still_loses_nothing(board: Board, store: Store, revocations: Revocations) -> None:
    [slot] = place(board, message())
    with board.locked(timeout_s=1):
        revocations.heard("u0", "revoke id-1 1")
        assert await revocations.run_once() < SOON_S
    assert board.states()[slot] == Slot.CLAIMED
    assert await revocations.run_once() > SOON_S, "it is tried again"
    assert store.returned == ["id-1"]


async def test_what_the_store_knows_is_found_without_news(board: Board, store: Store, revocations: Revocations) -> None:
    running, waiting, other = place(board, message(1), message(2), message(3))
    started = board.start(running)
    store.skip_reason = {"id-1": "terminate", "id-2": "revoked"}
    await revocations.run_once()
    assert board.requested_interrupt(running, started) == Interrupt.REVOKED
    assert store.returned == ["id-2"]
    assert (board.states()[waiting], board.states()[other]) == (Slot.RETURNED, Slot.CLAIMED)
