"""The keeper's looks for work on several shards: what it writes for its children, and whom it wakes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from streamtasks import StoreSettings
from streamtasks.stores.types import Claimed
from streamtasks_workers.process.board import Board
from streamtasks_workers.process.doorbell import Doorbell
from streamtasks_workers.process.options import WorkerOptions
from streamtasks_workers.process.ready import ready
from streamtasks_workers.process.shard_table import NOTHING, UNKNOWN, ShardTable, priority_code
from streamtasks_workers.roles import ready_watch
from streamtasks_workers.roles.base import ServedApp
from streamtasks_workers.roles.ready_watch import BUSY_LOOK_S, IDLE_LOOK_S, ReadyWatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamtasks.stores.types import Filter

TAGS = ("a", "b", "c")
CLAIMED = Claimed("m", "w#1", "0:default", "1-0", 1, 0, 0, b"1 {}")


class Store:
    def __init__(self) -> None:
        self.best: list[int | None] = [None] * len(TAGS)
        self.asked: list[str] = []
        self.away = ""

    async def ready(self, queues: Filter, tags: Sequence[str]) -> dict[str, int | None]:
        assert queues.mode == "all"
        self.asked.append("".join(tags))
        found: dict[str, int | None] = dict(zip(TAGS, self.best, strict=True))
        return {tag: found[tag] for tag in tags if tag not in self.away}


class TestKeeper:
    @pytest.fixture
    def bells(self) -> list[Doorbell]:
        return [Doorbell(), Doorbell()]

    @pytest.fixture
    def store(self) -> Store:
        return Store()

    @pytest.fixture
    def role(self, store: Any, bells: list[Doorbell]) -> ReadyWatch:
        children: dict[int, Any] = {n: SimpleNamespace(board=Board(n, 4, bell)) for n, bell in enumerate(bells)}
        settings = StoreSettings(tags=TAGS)
        return ReadyWatch(
            ServedApp("shop", settings, store, WorkerOptions(), children=children, table=ShardTable(len(TAGS)))
        )

    async def test_a_wake_rings_for_one_child_that_waits(self, role: ReadyWatch, bells: list[Doorbell]) -> None:
        bells[1].wait()
        role.heard("b", "wake")
        assert [bool(ready([bell.fd], 0)) for bell in bells] == [False, True]
        assert role.app.table is not None
        assert [role.app.table.ready_code(shard) for shard in range(3)] == [NOTHING, UNKNOWN, NOTHING]
        bells[0].reset()
        role.heard("c", "wake")
        assert not ready([bells[0].fd], 0), "it does not wait"

    async def test_a_look_wakes_no_other_for_the_same_push(
        self, role: Any, store: Store, bells: list[Doorbell], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for bell in bells:
            bell.wait()
        store.best = [None, 0, None]
        role.heard("b", "wake")
        await role.run_once()
        assert [bell.is_waited_for for bell in bells] == [False, True], "the other one is on its way"
        monkeypatch.setattr(ready_watch, "AFTER_PUSH_S", 0.0)
        role._asked_ns = 0
        await role.run_once()
        assert not any(bell.is_waited_for for bell in bells), "it is still there"

    async def test_empty_hands_come_first(self, role: ReadyWatch, bells: list[Doorbell]) -> None:
        board = role.app.boards[0]
        board.reset("w", "a", 10**12)
        board.sent(1)
        assert board.place(1, [CLAIMED], recorded=True)
        for bell in bells:
            bell.wait()
        role.heard("b", "wake")
        assert [bell.is_waited_for for bell in bells] == [True, False]

    async def test_a_look_finds_what_no_push_told(self, role: ReadyWatch, store: Store, bells: list[Doorbell]) -> None:
        for bell in bells:
            bell.wait()
        store.best = [None, None, 7]
        assert await role.run_once() == BUSY_LOOK_S, "a child is on its way"
        assert sum(bell.is_waited_for for bell in bells) == 1
        assert role.app.table is not None
        assert role.app.table.ready_code(TAGS.index("c")) == priority_code(7)
        early_s = await role.run_once()
        assert early_s is not None
        assert 0 < early_s <= BUSY_LOOK_S
        assert store.asked == ["abc"], "not more often than that"

    async def test_nobody_is_woken_again_and_again_for_the_same(
        self, role: Any, store: Store, bells: list[Doorbell]
    ) -> None:
        store.best = [0, None, None]
        for turn in range(3):
            for bell in bells:
                bell.reset()
                bell.wait()
            role._asked_ns = 0
            await role.run_once()
            assert sum(bell.is_waited_for for bell in bells) == (1 if turn == 0 else 2)

    async def test_an_idle_worker_looks_seldom(self, role: ReadyWatch, bells: list[Doorbell]) -> None:
        for bell in bells:
            bell.wait()
        assert await role.run_once() == IDLE_LOOK_S

    async def test_only_where_something_may_be_ready(self, role: Any, store: Store) -> None:
        """No child waits: it looks all the time."""

        async def asked() -> list[str]:
            store.asked.clear()
            role._asked_ns = 0
            assert await role.run_once() == BUSY_LOOK_S
            return store.asked

        assert await asked() == ["abc"]
        assert await asked() == [], "nothing is ready, and a push will tell"
        role.heard("b", "wake")
        store.best = [None, 3, None]
        assert await asked() == ["b"]
        assert await asked() == ["b"], "it is still there"
        store.best = [None] * 3
        assert await asked() == ["b"]
        assert await asked() == []
        role.wake_for("c")  # a beat found something
        assert await asked() == ["c"]
        role.missed("")
        assert await asked() == ["abc"]
        role._all_at_ns -= ready_watch.BUSY_LOOK_AT_ALL_S * 1e9
        assert await asked() == ["abc"], "a push may have been lost"

    async def test_a_shard_that_does_not_answer_is_asked_again(
        self, role: Any, store: Store, bells: list[Doorbell]
    ) -> None:
        store.away = "a"
        for bell in bells:
            bell.wait()
        assert await role.run_once() == ready_watch.UNANSWERED_LOOK_S
        role._asked_ns, store.away, store.best = 0, "", [1, None, None]
        assert await role.run_once() == BUSY_LOOK_S, "a child is on its way"
        assert store.asked == ["abc", "a"]
        assert role.app.table.ready_code(TAGS.index("a")) == priority_code(1)
