"""After a failover: what the store thinks held, and no child holds, goes back at once; all else stays."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streamtasks import StoreSettings
from streamtasks.stores.factory import open_store, open_supervisor_store
from streamtasks.stores.memory import MemoryServer
from streamtasks_workers.process.board import Board
from streamtasks_workers.process.options import WorkerOptions
from streamtasks_workers.roles.base import ServedApp
from streamtasks_workers.roles.reconciler import AGAIN_S, NOTICES_S, Reconciler
from tests.core.test_supervisor_store import new
from tests.support.manual_consumer import Consumer, outcome_of

URL = "memory://reconciler"
TAG = "u0"
LEASE_NS = 60 * 10**9


@pytest.fixture
def store() -> Any:
    MemoryServer.at(URL).flush()
    return open_store(StoreSettings(url=URL))


@pytest.fixture
def board() -> Board:
    made = Board(0, 8)
    made.reset("w", TAG, LEASE_NS)
    return made


@pytest.fixture
def role(store: Any, board: Board) -> Reconciler:
    child: Any = SimpleNamespace(board=board)
    keeper = open_supervisor_store(store.settings)
    made = Reconciler(ServedApp("shop", store.settings, keeper, WorkerOptions(), children={0: child}))
    made.missed("")  # the first subscription: nothing was lost
    return made


async def held(store: Any) -> set[str]:
    keeper = open_supervisor_store(store.settings)
    return {one.id for one in await keeper.holdings(TAG, ["w", "ended", "other"])}


async def test_what_no_child_holds_goes_back(
    store: Any, board: Board, role: Reconciler, caplog: pytest.LogCaptureFixture
) -> None:
    with Consumer(store, "w") as child, Consumer(store, "ended") as ended, Consumer(store, "other") as other:
        store.enqueue([new("lost")])
        child.claim(1)  # it was settled at the old master
        store.enqueue([new("runs"), new("waits"), new("settled")])
        board.sent(2)
        claimed = child.claim()
        slots = board.place(2, claimed, recorded=False) or []
        assert board.start(slots[0])
        board.free(slots[2])  # of the same claim, this one was settled
        store.enqueue([new("comes")])
        board.sent(3)
        child.claim(1)  # its answer is on its way
        store.enqueue([new("gone")])
        ended.claim(1)
        role.app.ended.append("ended")
        store.enqueue([new("elsewhere")])
        other.claim(1)
        assert await role.run_once() == NOTICES_S
        assert len(await held(store)) == 7
        role.missed("")
        assert await role.run_once() == AGAIN_S
        assert await held(store) == {"runs", "waits", "comes", "elsewhere"}
        assert "handed back 3 messages that no child holds" in caplog.text
        assert await role.run_once() == NOTICES_S, "the second look finds nothing"
        assert child.settle(*(outcome_of(one, "SUCCESS", b"{}") for one in claimed[:2])) == [1, 1]


async def test_a_child_that_starts_something_is_looked_at_again(store: Any, board: Board, role: Reconciler) -> None:
    """While its board is locked it is not known what it holds."""
    with Consumer(store, "w") as child:
        store.enqueue([new("lost")])
        child.claim(1)
        role.missed(TAG)
        with board.locked(1.0):
            assert await role.run_once() == AGAIN_S
        assert await held(store) == {"lost"}
        assert await role.run_once() == NOTICES_S
        assert await held(store) == set()
