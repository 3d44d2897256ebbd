"""Where a child with several shards claims next: the best that it knows of, without asking."""

from __future__ import annotations

import os
import signal
import time
from types import SimpleNamespace
from typing import Any

import pytest

from streamtasks.stores.types import Claimed, Exchange
from streamtasks_workers.executor import shard_choice
from streamtasks_workers.executor.shard_choice import SLEEP_S, ShardChoice
from streamtasks_workers.executor.shard_codes import AGAIN_NS
from streamtasks_workers.process.doorbell import Doorbell
from streamtasks_workers.process.ready import ready
from streamtasks_workers.process.shard_table import NOTHING, UNKNOWN, ShardTable, priority_code
from streamtasks_workers.process.suspect_permit import SuspectPermit
from tests.support.waiting import wait_until

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
        self.table._words[4 * shard] = self.now_ns
        self.later()

    def code(self, shard: int) -> int:
        code: int = self.choice._codes.at(self.now_ns).get(shard, NOTHING)
        return code

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
    assert child.code(B) == priority_code(-3), "it is not left alone"
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
    assert not child.code(B)
    child.look(b=0)
    assert child.code(B) == priority_code(0)


def test_a_wake_that_came_after_the_last_claim_counts(child: Child) -> None:
    child.look(a=None, b=None, c=None)
    assert child.claim(NONE) == "a"
    child.rung(C)
    assert child.claim() == "c"
    tag = child.choice.next_tag()
    child.later()
    child.rung(C)  # while the claim is on its way
    child.choice.took(NONE)
    assert (tag, child.code(C)) == ("c", UNKNOWN)


def test_what_another_child_has_emptied_is_left_alone_until_the_next_wake(child: Child) -> None:
    child.rung(B)
    sent_ns = child.now_ns
    child.later()
    child.rung(C)  # the other child's claim is on its way
    child.table.set_emptied(B, sent_ns)
    child.table.set_emptied(C, sent_ns)
    assert child.claim() == "c"
    assert child.claim() == "c", "nothing is known of any other"
    child.rung(B)
    assert child.claim() == "b"
    child.table.set_emptied(C, child.now_ns)
    child.look(c=-7)
    assert child.claim(SOME._replace(left=None)) == "c", "a later look counts"
    assert child.table.state(C)[3] > child.table.state(C)[1], "the others are told"


def test_it_knows_of_nothing_until_a_wake(child: Child) -> None:
    child.look(a=None, b=None, c=None)
    assert child.choice.knows_of_nothing()
    child.rung(C)
    assert not child.choice.knows_of_nothing()
    assert child.claim(SOME._replace(left=3)) == "c"
    assert not child.choice.knows_of_nothing()
    child.claim(SOME._replace(left=None))
    assert child.choice.knows_of_nothing()


def test_what_is_unknown_is_worse_than_any_priority(child: Child) -> None:
    child.look(a=-100)
    child.rung(B)
    assert child.claim() == "a"


def test_a_shard_that_gives_nothing_is_left_alone_for_a_while(child: Child) -> None:
    """A suspect waits there for another worker."""
    child.look(b=0, c=-1)
    assert child.claim(NONE._replace(left=0)) == "b"
    assert child.claim(SOME._replace(left=-1)) == "c"
    child.later(AGAIN_NS)
    assert child.claim(NONE._replace(left=0)) == "b"
    child.later(AGAIN_NS)
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
