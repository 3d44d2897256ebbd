"""A keeper whose child holds messages of several shards: each call goes to the shard of its messages."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from streamtasks import StoreSettings, StoreUnavailable
from streamtasks.stores.types import Charge, Settled
from streamtasks_workers.process.board import Board
from streamtasks_workers.process.options import WorkerOptions
from streamtasks_workers.roles.base import ServedApp
from streamtasks_workers.roles.ended_child import EndedChild
from streamtasks_workers.roles.leases import Leases
from streamtasks_workers.roles.shards import on_each
from streamtasks_workers.roles.watch import Watch
from tests.support.boards import LEASE_NS, message, success

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamtasks.stores.types import Claimed, ClaimId, Outcome

TAGS = ("u0", "dj")


class Store:
    """Notes what it is called with, by shard; those that are away do not answer."""

    def __init__(self) -> None:
        self.away: set[str] = set()
        self.settled: defaultdict[str, list[str]] = defaultdict(list)
        self.returned: defaultdict[str, list[str]] = defaultdict(list)
        self.charged: defaultdict[str, list[str]] = defaultdict(list)
        self.renewed: defaultdict[str, list[str]] = defaultdict(list)
        self.void: dict[str, int] = {}

    def _answer(self, tag: str) -> None:
        if tag in self.away:
            raise StoreUnavailable(f"{tag} is away")

    async def settle(self, tag: str, outcomes: Sequence[Outcome], **_: Any) -> list[Settled]:
        self._answer(tag)
        self.settled[tag] += [o.id for o in outcomes]
        return [Settled.DONE] * len(outcomes)

    async def hand_back(
        self, tag: str, claimed: Sequence[Claimed], *, invalidate: ClaimId | None = None, **_: Any
    ) -> list[bool]:
        self._answer(tag)
        self.returned[tag] += [c.id for c in claimed]
        if invalidate:
            self.void[tag] = invalidate.sequence
        return [True] * len(claimed)

    async def charge(self, tag: str, attempts: Sequence[tuple[Claimed, int, str]]) -> list[Charge]:
        self._answer(tag)
        self.charged[tag] += [c.id for c, _, _ in attempts]
        return [Charge.AT_ONCE] * len(attempts)

    async def mark_running(self, tag: str, attempts: Sequence[tuple[Claimed, int]]) -> list[bool]:
        self._answer(tag)
        return [True] * len(attempts)

    async def renew(self, tag: str, tokens: Sequence[str]) -> list[bool]:
        self._answer(tag)
        self.renewed[tag] += tokens
        return [True] * len(tokens)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def board() -> Board:
    """Of each shard one message that is finished, one that runs, and one that waits; a fourth is on its way."""
    made = Board(0, 8)
    made.reset("w", "u0", LEASE_NS)
    for sequence, tag in enumerate(TAGS, 1):
        made.sent(sequence, tag)
        messages = [
            message(id=f"{tag}-{what}", token=f"w#{sequence}", stream="0:default") for what in ("done", "runs", "waits")
        ]
        done, runs, _ = made.place(sequence, messages, recorded=False) or []
        made.finish(done, success(messages[0]), made.start(done))
        assert made.start(runs)
    made.sent(3)
    return made


def app(store: Any, board: Board) -> ServedApp:
    child: Any = SimpleNamespace(board=board, watch=Watch(store, board))
    return ServedApp("shop", StoreSettings(tags=TAGS), store, WorkerOptions(), children={0: child})


def each(what: str) -> dict[str, list[str]]:
    return {tag: [f"{tag}-{what}"] for tag in TAGS}


async def test_what_an_ended_child_held_goes_to_its_shards(store: Any, board: Board) -> None:
    ended = EndedChild(app(store, board), board, 1, "signal 9", charged=True)
    assert await ended.settle() == 6
    assert store.settled == each("done")
    assert store.charged == each("runs")
    everything = {tag: {f"{tag}-{what}" for what in ("done", "runs", "waits")} for tag in TAGS}
    assert {tag: set(ids) for tag, ids in store.returned.items()} == everything
    assert store.void == {"dj": 3}, "the last claim went to the shard of the one before"


async def test_what_a_stopping_child_has_not_started_goes_back_to_its_shards(store: Any, board: Board) -> None:
    await Watch(store, board).run_once(stopping=True)
    assert store.returned == each("waits")
    assert store.void == {"dj": 3}


async def test_leases_are_renewed_on_their_shards(store: Any, board: Board) -> None:
    await Leases(app(store, board)).run_once()
    assert store.renewed == {"u0": ["w#1"], "dj": ["w#2"]}


async def test_a_shard_that_is_away_delays_no_other(store: Any, board: Board) -> None:
    store.away = {"u0"}
    with pytest.raises(StoreUnavailable):
        await Leases(app(store, board)).run_once()
    assert store.renewed == {"dj": ["w#2"]}


async def test_every_shard_is_called_before_an_error_is_raised() -> None:
    called: list[str] = []

    async def call(tag: str, wait_s: float) -> str:
        await asyncio.sleep(wait_s)
        if not wait_s:
            raise StoreUnavailable(tag)
        called.append(tag)
        return tag.upper()

    with pytest.raises(StoreUnavailable, match="u0"):
        await on_each({"u0": 0.0, "dj": 0.01}, call)
    assert called == ["dj"]
    assert await on_each({"u0": 0.01, "dj": 0.01}, call) == {"u0": "U0", "dj": "DJ"}
