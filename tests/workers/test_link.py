"""Claims of a child are numbered so that one whose answer was lost is asked for again by its number."""

from __future__ import annotations

import time
from typing import Any

import pytest

from streamtasks import StoreUnavailable, StreamTasks
from streamtasks.stores.types import Claimed, ClaimRequest, Exchange
from streamtasks_workers.executor import link as links
from streamtasks_workers.executor.link import Link
from streamtasks_workers.executor.runner import Runner
from streamtasks_workers.process.board import Board

EMPTY = Exchange([], [], 1, False, False, False, False)


def one(sequence: int) -> Exchange:
    return EMPTY._replace(claimed=[Claimed(f"m{sequence}", f"w#{sequence}", "0:default", "1-0", 1, 0, 0, b"1 {}")])


class FakeChannel:
    """Answers as told; an exception is raised."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.answers: list[Exchange | Exception] = []

    def send(self, outcomes: Any, claim: ClaimRequest | None) -> None:
        if claim is not None:
            self.asked.append(claim.sequence)

    def start_wait(self, claim: ClaimRequest | None = None) -> int:
        if claim is not None:
            self.asked.append(claim.sequence)
        return 0

    def receive(self) -> Exchange:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    finish_wait = receive


@pytest.fixture
def channel() -> FakeChannel:
    return FakeChannel()


@pytest.fixture
def link(channel: FakeChannel) -> Link:
    board = Board(0, 4)
    board.reset("w", "u0", 10**12)
    made: Any = channel
    return Link(made, board, Runner(StreamTasks(), "w"))


def exchange(link: Link) -> Exchange:
    link.send((), (), 1, alone=True)
    got = link.try_receive()
    assert got is not None
    link.taken(got)
    return got


def test_each_claim_has_its_number(link: Link, channel: FakeChannel) -> None:
    channel.answers = [EMPTY, one(2), one(3)]
    exchange(link)
    exchange(link)
    link.start_wait(5)
    link.start_wait(5)
    assert link.finish_wait() == one(3)
    assert channel.asked == [1, 2, 3]


def test_a_wait_without_a_claim_needs_none(link: Link, channel: FakeChannel) -> None:
    channel.answers = [StoreUnavailable("gone"), one(1)]
    link.start_wait()
    with pytest.raises(StoreUnavailable):
        link.finish_wait()
    exchange(link)
    assert channel.asked == [1]


def test_a_claim_whose_wait_broke_is_repeated_until_it_is_settled(
    link: Link, channel: FakeChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel.answers = [StoreUnavailable("gone"), EMPTY, one(1), one(2)]
    link.start_wait(5)
    with pytest.raises(StoreUnavailable):
        link.finish_wait()
    exchange(link)  # nothing yet: the lost one may still be on its way
    exchange(link)  # what it took
    exchange(link)
    assert channel.asked == [1, 1, 1, 2]

    channel.answers = [StoreUnavailable("gone"), EMPTY, EMPTY]
    link.start_wait(5)
    with pytest.raises(StoreUnavailable):
        link.finish_wait()
    exchange(link)
    monkeypatch.setattr(links, "SETTLES_S", 0.0)
    later = time.monotonic() + 60
    monkeypatch.setattr(time, "monotonic", lambda: later)
    exchange(link)
    assert channel.asked[4:] == [3, 3, 4]


def test_a_repeated_claim_that_the_keeper_gave_up_is_not_repeated_again(link: Link, channel: FakeChannel) -> None:
    channel.answers = [StoreUnavailable("gone"), one(1), one(2)]
    link.start_wait(5)
    with pytest.raises(StoreUnavailable):
        link.finish_wait()
    with link.board.locked(timeout_s=1) as got:
        assert got
        link.board.invalidate(1)
    exchange(link)
    exchange(link)
    assert channel.asked == [1, 1, 2]


def test_that_a_suspect_waits_is_remembered_until_the_next_claim(link: Link, channel: FakeChannel) -> None:
    """Or a child with work in hand would never empty its hands: each outcome would have it claim again."""
    channel.answers = [EMPTY._replace(suspects=True), EMPTY, EMPTY]
    exchange(link)
    assert link.suspects
    link.send((), (), 0, alone=False)
    link.taken(link.try_receive() or EMPTY)
    assert link.suspects
    link.send((), (), 0, alone=False, look=True)
    link.taken(link.try_receive() or EMPTY)
    assert not link.suspects
    assert channel.asked == [1, 2]
