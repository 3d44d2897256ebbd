"""Where a child with several shards claims next: the best that it knows of, without asking."""

from __future__ import annotations

import os
import signal
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from streamtasks import StoreSettings
from streamtasks.stores.types import Claimed, Exchange
from streamtasks_workers.executor import shard_choice
from streamtasks_workers.executor.shard_choice import SLEEP_S, ShardChoice
from streamtasks_workers.process.board import Board
from streamtasks_workers.process.doorbell import Doorbell
from streamtasks_workers.process.options import WorkerOptions
from streamtasks_workers.process.ready import ready
from streamtasks_workers.process.shard_table import NOTHING, UNKNOWN, ShardTable, priority_code
from streamtasks_workers.process.suspect_permit import SuspectPermit
from streamtasks_workers.roles import ready_watch
from streamtasks_workers.roles.base import ServedApp
from streamtasks_workers.roles.ready_watch import BUSY_LOOK_S, IDLE_LOOK_S, ReadyWatch
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamtasks.stores.types import Filter

TAGS = ("a", "b", "c")
A, B, C = range(3)
CLAIMED = Claimed("m", "w#1", "0:default", "1-0", 1, 0, 0, b"1 {}")
NONE = Exchange([], [], 1, False, False, False, False)
SOME = NONE._replace(claimed=[CLAIMED])


class Child:
    """A choice, and what the keeper writes for it. The clock stands still unless it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns = time.monotonic_ns()
        clock = SimpleNamespace(monotonic_ns=lambda: self.now_ns, monotonic=lambda: self.now_ns / 1e9)
        monkeypatch.setattr(shard_choice, "time", clock)
        self.table: Any = ShardTable(len(TAGS))
        self.bell = Doorbell()
        self.choice: Any = ShardChoice(TAGS, self.table, self.bell, SuspectPermit(), A, (A, B, C))
        self.choice.next_tag()
        self.later()

    def later(self, ns: int = 1_000_000) -> None:
        self.now_ns += ns

    def look(self, **best: int | None) -> None:
        """The keeper asks now; what it finds stands in the table."""
        for tag, priority in best.items():
            self.table.set_best(TAGS.index(tag), priority_code(priority), self.now_ns)
        self.later()

    def rung(self, shard: int) -> None:
        self.table._words[3 * shard] = self.now_ns
        self.later()

    def claim(self, answer: Exchange = SOME) -> str:
        tag: str = self.choice.next_tag()
        self.later()
        self.choice.took(answer)
        self.later()
        return tag


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Child:
    return Child(monkeypatch)


def test_a_child_stays_while_no_shard_is_better(child: Child) -> None:
    child.look(a=0, b=0, c=-1)
    assert [child.claim(SOME._replace(left=0)) for _ in range(5)] == ["a"] * 5


def test_a_better_priority_comes_first_and_the_child_goes_back(child: Child) -> None:
    child.look(a=0, b=5, c=1)
    assert child.claim(SOME._replace(left=5)) == "b"
    assert child.claim(SOME._replace(left=None)) == "b"
    assert child.claim(SOME._replace(left=None)) == "c", "the best of those that it knows"
    assert child.claim() == "a"


def test_nothing_is_claimed_that_is_worse_than_what_another_shard_has(child: Child) -> None:
    child.look(a=0, b=5, c=1)
    assert (child.choice.next_tag(), child.choice.least) == ("b", 1)
    child.later()
    child.choice.took(NONE._replace(left=-3))
    assert child.choice._code(B, child.now_ns) == priority_code(-3), "it is not left alone"
    assert (child.choice.next_tag(), child.choice.least) == ("c", 0)
    child.choice.took(SOME._replace(left=1))
    assert (child.choice.next_tag(), child.choice.least) == ("c", 0)
    child.choice.took(NONE._replace(again=True, left=1))
    assert (child.choice.next_tag(), child.choice.least) == ("c", -100), "it is told to ask again"


def test_shards_that_are_as_good_take_turns(child: Child) -> None:
    child.look(a=0, b=0, c=0)
    turns = []
    for _ in range(6):
        turns.append(child.claim(SOME._replace(left=0)))
        child.later(shard_choice.STAY_NS)
    assert turns == ["a", "b", "c", "a", "b", "c"]


def test_an_older_look_does_not_hide_what_a_claim_has_shown(child: Child) -> None:
    child.look(b=0)
    assert child.claim(SOME._replace(left=None)) == "b"
    assert child.claim(NONE) == "b", "nothing is known of any other"
    assert not child.choice._code(B, child.now_ns)
    child.look(b=0)
    assert child.choice._code(B, child.now_ns) == priority_code(0)


def test_a_wake_that_came_after_the_last_claim_counts(child: Child) -> None:
    child.look(a=None, b=None, c=None)
    assert child.claim(NONE) == "a"
    child.rung(C)
    assert child.claim() == "c"
    tag = child.choice.next_tag()
    child.later()
    child.rung(C)  # while the claim is on its way
    child.choice.took(NONE)
    assert (tag, child.choice._code(C, child.now_ns)) == ("c", UNKNOWN)


def test_what_is_unknown_is_worse_than_any_priority(child: Child) -> None:
    child.look(a=-100)
    child.rung(B)
    assert child.claim() == "a"


def test_a_shard_that_gives_nothing_is_left_alone_for_a_while(child: Child) -> None:
    """A suspect waits there for another worker."""
    child.look(b=0, c=-1)
    assert child.claim(NONE._replace(left=0)) == "b"
    assert child.claim(SOME._replace(left=-1)) == "c"
    child.later(shard_choice.AGAIN_NS)
    assert child.claim(NONE._replace(left=0)) == "b"
    child.later(shard_choice.AGAIN_NS)
    assert child.claim(SOME._replace(left=-1)) == "c", "for longer"
    child.rung(B)
    assert child.claim() == "b", "something new is there"


@pytest.mark.parametrize("flag", ["suspects", "again"])
def test_what_asks_for_another_claim_means_the_same_shard(child: Child, flag: str) -> None:
    child.look(b=0)
    flags: Any = {flag: True}
    assert child.claim(NONE._replace(left=0, **flags)) == "b"
    child.look(c=5)
    assert child.claim(SOME) == "b"
    assert child.claim(SOME) == "c"


def test_a_child_sleeps_until_its_bell_rings(child: Child) -> None:
    fd = child.choice.start_wait()
    assert child.bell.is_waited_for
    assert not ready([fd], 0)
    child.bell.ring()
    assert not child.bell.is_waited_for
    assert ready([fd], 0)
    child.choice.finish_wait()
    assert not ready([fd], 0)


def test_a_child_does_not_sleep_while_something_is_ready(child: Child) -> None:
    child.rung(C)
    assert ready([child.choice.start_wait()], 0)
    child.choice.finish_wait()
    assert child.claim() == "c"


def test_a_child_for_which_nobody_rings_looks_at_one_shard_after_the_other(child: Child) -> None:
    looked = []
    for _ in range(3):
        child.choice.start_wait()
        child.later(round(SLEEP_S / 2 * 1e9))
        child.choice.start_wait()
        assert SLEEP_S / 2 - 1.0 < child.choice.wait_left_s() < SLEEP_S / 2 + 1.0, "it is one sleep"
        child.later(round((SLEEP_S / 2 + 1.0) * 1e9))
        assert child.choice.wait_left_s() == 0.0
        child.choice.finish_wait()
        looked.append(child.claim(NONE))
    assert looked == ["b", "c", "a"]


class TestPermit:
    def test_one_process_has_it_and_its_end_frees_it(self) -> None:
        permit = SuspectPermit()
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(write, b"1" if permit.take() else b"0")
            signal.pause()
        assert os.read(read, 1) == b"1"
        assert not permit.take()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        wait_until(permit.take, "the permit is free")
        assert permit.take()
        permit.give_back()
        permit.give_back()

    def test_it_is_kept_while_a_suspect_runs(self, child: Child) -> None:
        permit = child.choice._permit
        for alone in (True, False):
            assert child.choice.may_take_suspect(alone=alone)
            assert permit.is_held is alone, "what is not read soon must not keep it from others"
            child.claim(SOME)
            assert not permit.is_held
        assert child.choice.may_take_suspect(alone=True)
        child.claim(SOME._replace(run_alone=True))
        assert permit.is_held
        assert child.choice.may_take_suspect(alone=False)
        assert permit.is_held
        child.claim(SOME)
        assert not permit.is_held


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
        assert role.app.table.ready_code(C) == priority_code(7)
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
        role.missed()
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
        assert role.app.table.ready_code(A) == priority_code(1)
