"""What a supervisor does through the store: outcomes, hand-backs, crashes, promotion, reclaim, leases, expiry."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streamtasks import StoreSettings
from streamtasks.protocol.json import dumps
from streamtasks.protocol.message import Message
from streamtasks.protocol.state import State
from streamtasks.stores.factory import open_store, open_supervisor_store
from streamtasks.stores.types import Charge, Claimed, ClaimId, NewMessage, Settled
from tests.support.manual_consumer import Consumer, outcome_of

TAG = "u0"

type EndLeases = Callable[[StoreSettings, set[str]], None]


def keeper_of(url: str, **settings: Any) -> Any:
    return open_supervisor_store(StoreSettings(url=url, **settings))


def new(task_id: str, **options: Any) -> NewMessage:
    message = Message(id=task_id, task="t", args=[task_id])
    return NewMessage(task_id, "default", 0, message.encode(1 << 20))._replace(**options)


@pytest.fixture
async def keeper(store_url: str) -> Any:
    """A supervisor's store, empty."""
    return keeper_of(store_url, timeout_s=60.0, enqueue_timeout_s=60.0)


@pytest.fixture
def child(store_url: str) -> Iterator[Consumer]:
    """A child of that supervisor, with a new store."""
    with Consumer(open_store(StoreSettings(url=store_url))) as opened:
        yield opened


class TestSupervisor:
    async def test_an_outcome_without_its_body_is_recorded_whole(self, keeper: Any, child: Consumer) -> None:
        await keeper.enqueue([new("a"), new("b")])
        outcomes = [outcome_of(c, "SUCCESS", b'{"r":1}', body=b"") for c in child.claim()]
        assert await keeper.settle(TAG, outcomes) == [Settled.DONE] * 2
        assert await keeper.settle(TAG, outcomes) == [Settled.ALREADY] * 2
        found = await keeper.read(["a", "b"])
        assert [s and s.envelope for s in found] == [new("a").envelope, new("b").envelope]
        assert [s and s.result for s in found] == [b'{"r":1}'] * 2

    async def test_a_claim_sent_again_gets_the_same_messages(self, keeper: Any, child: Consumer) -> None:
        """Its answer may have been lost; also if nothing else is left to claim."""
        await keeper.enqueue([new("a"), new("b")])
        claimed = child.claim()
        child.sequence -= 1
        assert child.claim() == claimed
        assert child.claim() == []
        assert child.settle(*(outcome_of(c, "SUCCESS") for c in claimed)) == [Settled.DONE] * 2

    async def test_answers_come_in_the_order_of_the_outcomes(self, keeper: Any, child: Consumer) -> None:
        await keeper.enqueue([new(f"{n}") for n in range(6)])
        claimed = child.claim()
        await keeper.hand_back(TAG, [claimed[1], claimed[4]])
        states = ["SUCCESS", "SUCCESS", "FAILURE", "SUCCESS", "FAILURE", "DEAD"]
        outcomes = [outcome_of(c, state, b"{}") for c, state in zip(claimed, states, strict=True)]
        done, stale = Settled.DONE, Settled.STALE
        assert await keeper.settle(TAG, outcomes) == [done, stale, done, done, stale, done]

    async def test_a_member_given_twice_is_done_once(self, keeper: Any, child: Consumer) -> None:
        await keeper.enqueue([new("a")])
        [claimed] = child.claim()
        outcome = outcome_of(claimed, "SUCCESS", b"{}")
        answers = await keeper.settle(TAG, [outcome, outcome])
        assert Settled.DONE in answers

    async def test_hundreds_of_outcomes(self, keeper: Any, child: Consumer) -> None:
        await keeper.enqueue([new(f"{n}") for n in range(250)])
        claimed = [c for _ in range(3) for c in child.claim()]
        assert await keeper.settle(TAG, [outcome_of(c, "SUCCESS", b"{}") for c in claimed]) == [Settled.DONE] * 250

    async def test_handing_back_says_what_became_of_each(self, keeper: Any, child: Consumer) -> None:
        await keeper.enqueue([new("a"), new("b")])
        a, b = child.claim()
        child.settle(outcome_of(b, "SUCCESS", b"{}"))
        assert await keeper.hand_back(TAG, [a, b]) == [True, False]
        assert await keeper.hand_back(TAG, [a, b]) == [False, False]

    async def test_handing_back_with_an_unread_claim_from_another_stream(self, keeper: Any, child: Consumer) -> None:
        await keeper.enqueue([new("a")])
        read = child.claim()
        await keeper.enqueue([new("b", queue="another")])
        child.claim()
        # Of the second claim the supervisor knows only that its reply was never read.
        assert await keeper.hand_back(TAG, read, invalidate=ClaimId("hand", 2), gone=True) == [True]
        with Consumer(open_store(keeper.settings), "next") as later:
            assert sorted(c.id for c in later.claim()) == ["a", "b"]

    async def test_what_children_hold(self, keeper: Any, child: Consumer) -> None:
        await keeper.enqueue([new("a"), new("b", queue="other"), new("c")])
        a, *rest = child.claim()
        await keeper.enqueue([new("d")])
        held = await keeper.holdings(TAG, ["hand", "another"])
        assert sorted((one.id, one.token, one.stream) for one in held) == sorted(
            (one.id, one.token, one.stream) for one in (a, *rest)
        )
        child.settle(outcome_of(a, "SUCCESS", b"{}"))
        held = await keeper.holdings(TAG, ["hand"])
        assert sorted(one.id for one in held) == sorted(one.id for one in rest)
        assert len(held) == 2
        assert await keeper.hand_back(TAG, held) == [True, True]
        assert await keeper.holdings(TAG, ["hand"]) == await keeper.holdings(TAG, ["han"]) == []

    async def test_crashes(self, keeper: Any, child: Consumer) -> None:
        await keeper.enqueue([new("a")])
        report = json.dumps({"kind": "CRASH"})
        [first] = child.claim(1)
        assert await keeper.charge(TAG, [(first, 5, report)]) == [Charge.AT_ONCE]
        [second] = child.claim(1)
        assert await keeper.charge(TAG, [(second, 5, report)]) == [Charge.AFTER_DELAY]
        [snapshot] = await keeper.read(["a"])
        assert snapshot is not None
        assert (snapshot.state, snapshot.attempts) == (State.RETRY, 2)
        assert snapshot.reports == [{"kind": "CRASH"}] * 2
        assert await keeper.charge(TAG, [(second, 5, report)]) == [Charge.STALE]

    async def test_promotion_of_many_in_many_streams(self, keeper: Any, child: Consumer) -> None:
        messages = [new(f"{n}", queue=f"q{n % 70}", delay_ms=30) for n in range(250)]
        await keeper.enqueue(messages)
        await keeper.enqueue([new("later", delay_ms=3_600_000)])
        promoted = 0
        async with asyncio.timeout(60):
            while promoted < 250:
                answer = await keeper.promote(TAG)
                promoted += answer.promoted
                assert answer.next_due_us is not None
                await asyncio.sleep(min(answer.next_due_us / 1e6, 0.01))
        assert promoted == 250
        assert 3_000_000_000 < (await keeper.promote(TAG)).next_due_us <= 3_600_000_000
        got: set[str] = set()
        while some := child.succeed():
            got.update(some)
        assert got == {m.id for m in messages}

    async def test_promotion_with_nothing_delayed(self, keeper: Any) -> None:
        answer = await keeper.promote(TAG)
        assert (answer.promoted, answer.next_due_us) == (0, None)

    async def test_reclaim_of_many_in_many_streams(self, keeper: Any, child: Consumer, end_leases: EndLeases) -> None:
        await keeper.enqueue([new(f"{n}", queue=f"q{n % 70}") for n in range(250)])
        claimed: list[Claimed] = []
        while some := child.claim():
            claimed += some
        assert len(claimed) == 250
        end_leases(keeper.settings, {c.token for c in claimed})
        await keeper.beat(TAG, "w", {})
        answer = await keeper.reclaim(TAG)
        assert (answer.reclaimed, answer.exhausted) == (250, [])
        assert (await keeper.reclaim(TAG)).reclaimed == 0

    async def test_an_exhausted_message_can_be_settled_as_told(
        self, store_url: str, child: Consumer, end_leases: EndLeases
    ) -> None:
        keeper = keeper_of(store_url, lost_limit=1)
        await keeper.enqueue([new("a")])
        [claimed] = child.claim(1)
        end_leases(keeper.settings, {claimed.token})
        await keeper.beat(TAG, "w", {})
        [gone] = (await keeper.reclaim(TAG)).exhausted
        assert (gone.id, gone.token, gone.entry) == (claimed.id, claimed.token, claimed.entry)
        outcome = outcome_of(claimed, "DEAD", dumps({"e": {}}), note="lost", body=b"")
        assert await keeper.settle(TAG, [outcome]) == [Settled.DONE]
        [snapshot] = await keeper.read(["a"])
        assert snapshot is not None
        assert snapshot.state is State.DEAD

    async def test_starts_leases_and_progress(self, keeper: Any, child: Consumer) -> None:
        await keeper.enqueue([new("a"), new("b")])
        a, b = child.claim()
        assert await keeper.mark_running(TAG, [(a, 12)]) == [True]
        assert await keeper.progress(TAG, [(a, b'{"n":1}'), (b._replace(token="x#1"), b"1")]) == [True, False]
        assert await keeper.renew(TAG, [a.token, "x#1"]) == [True, False]
        [first, second] = await keeper.read(["a", "b"])
        assert first is not None
        assert second is not None
        assert (first.state, first.progress, second.state) == (State.PROGRESS, b'{"n":1}', State.QUEUED)

    async def test_control_messages_are_heard(self, keeper: Any) -> None:
        heard = keeper.listen()
        try:
            async with asyncio.timeout(5):
                assert await anext(heard) == ("", "subscribed")
                await keeper.enqueue([new("a", delay_ms=60_000)])
                tag, words = await anext(heard)
        finally:
            await heard.aclose()
        assert tag == TAG
        assert words.startswith("due ")


async def test_results_that_expire_early_go_and_their_ids_stay_known(store_url: str) -> None:
    store = open_store(StoreSettings(url=store_url, result_expires_s=0.05, failure_expires_s=3600))
    keeper = open_supervisor_store(StoreSettings(url=store_url, result_expires_s=0.05, failure_expires_s=3600))
    store.enqueue([new(task_id) for task_id in "abc"])
    with Consumer(store) as hand:
        first, second, third = hand.claim(3)
        settled = outcome_of(first, "SUCCESS", b'{"r":1}'), outcome_of(second, "FAILURE"), outcome_of(third, "IGNORED")
        hand.settle(*settled)
    await asyncio.sleep(0.1)
    after = await keeper.expire_results(TAG, True)
    assert [one and one.id for one in store.read(["a", "b", "c"])] == [None, "b", None]
    assert store.enqueue([new("a"), new("c")]) == [False, False]
    store.enqueue([new("d")])
    with Consumer(store, "other") as hand:
        hand.settle(outcome_of(hand.claim(1)[0], "SUCCESS", b'{"r":1}'))
    assert store.read(["d"])[0] is not None
    await asyncio.sleep(0.1)
    await keeper.expire_results(TAG, True, after)
    assert [one and one.id for one in store.read(["b", "d"])] == ["b", None]


async def test_many_results_that_expire_early_go_page_by_page(store_url: str) -> None:
    settings = StoreSettings(url=store_url, failure_expires_s=0.01)
    store = open_store(settings)
    ids = [f"m{n}" for n in range(130)]
    store.enqueue([new(task_id) for task_id in ids])
    with Consumer(store) as hand:
        for claimed in (*hand.claim(), *hand.claim()):
            hand.settle(outcome_of(claimed, "FAILURE"))
    await asyncio.sleep(0.05)
    keeper = open_supervisor_store(settings)
    after = await keeper.expire_results(TAG, False)
    assert store.read(ids) == [None] * 130
    assert await keeper.expire_results(TAG, False, after) == after
