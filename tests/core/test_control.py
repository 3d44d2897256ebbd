"""Revoking, following up and forgetting through a store, in the same way with every driver."""

from __future__ import annotations

from typing import Any

import pytest

from streamtasks import StoreSettings
from streamtasks.protocol.message import Message
from streamtasks.protocol.shards import ALL_TAGS, new_id
from streamtasks.protocol.state import State
from streamtasks.stores.factory import open_store, open_supervisor_store
from streamtasks.stores.types import Revocation, Settled
from tests.core.conftest import AnyStore
from tests.support.manual_consumer import Consumer, outcome_of
from tests.support.new_messages import new, state_of
from tests.support.sql_stores import notifies

TAG = "u0"
TAGS = ALL_TAGS[:16]
CALLBACK = "streamtasks.callback"


class TestRevoke:
    @pytest.mark.parametrize("options", [{}, {"delay_ms": 60_000}, {"queue": "mail", "priority": -7}])
    def test_what_waits_is_gone_and_a_child_told(
        self, store: AnyStore, hand: Consumer, options: dict[str, Any]
    ) -> None:
        store.enqueue([new("a", **options)])
        assert store.revoke("a") is Revocation.GONE
        assert state_of(store, "a") is State.REVOKED
        [callback] = hand.claim()
        message = Message.decode(callback.body.partition(b" ")[2])
        assert (message.id, message.task, message.args) == (callback.id, CALLBACK, ["a"])
        assert callback.stream == f"{options.get('priority', 0)}:{options.get('queue', 'default')}"
        assert hand.settle(outcome_of(callback, "CALLED")) == [Settled.DONE]
        assert store.read([callback.id]) == [None]
        assert hand.claim() == []

    def test_bytes_that_are_no_message(self, store: AnyStore) -> None:
        store.enqueue([new("a")._replace(envelope=b"\xff")])
        assert store.revoke("a") is Revocation.GONE

    @pytest.mark.parametrize("terminate", [False, True])
    def test_what_runs_will_be_revoked(self, store: AnyStore, hand: Consumer, terminate: bool) -> None:
        store.enqueue([new("a")])
        [claimed] = hand.claim(1)
        assert store.revoke("a", terminate=terminate) is Revocation.MARKED
        assert state_of(store, "a") is State.STARTED
        assert hand.settle(outcome_of(claimed, "SUCCESS", b'{"r":1}')) == [Settled.DONE]
        [snapshot] = store.read(["a"])
        assert (snapshot.state, snapshot.result) == (State.REVOKED, b"")
        assert Message.decode(snapshot.envelope).args == ["a"]
        assert len(hand.claim()) == 1, "the callback"

    def test_what_is_finished_stays(self, store: AnyStore, hand: Consumer) -> None:
        store.enqueue([new("a")])
        hand.succeed(5)
        assert store.revoke("a", terminate=True) is Revocation.FINISHED
        assert state_of(store, "a") is State.SUCCESS

    def test_what_is_unknown_is_revoked_when_it_comes(self, store: AnyStore, hand: Consumer) -> None:
        assert store.revoke("a") is Revocation.UNKNOWN
        assert store.read(["a"]) == [None]
        assert store.enqueue([new("a")]) == [True]
        assert state_of(store, "a") is State.REVOKED
        assert len(hand.claim()) == 1, "the callback"

    def test_it_goes_to_the_shard_of_its_id(self, store_url: str, any_store: Any) -> None:
        store = any_store(store_url, tags=TAGS)
        ids = [new_id(TAGS) for _ in range(20)]
        store.enqueue([new(task_id) for task_id in ids])
        assert [store.revoke(task_id) for task_id in ids] == [Revocation.GONE] * 20
        assert {snapshot.state for snapshot in store.read(ids)} == {State.REVOKED}

    def test_a_wait_ends_with_it(self, store: AnyStore) -> None:
        store.enqueue([new("a", delay_ms=60_000)])
        store.revoke("a")
        assert [s.id for s in store.wait_finished(["a"], 5.0)] == ["a"]


class TestRevocations:
    async def test_who_runs_it_is_told(self, store_url: str) -> None:
        settings = StoreSettings(url=store_url)
        store, keeper = open_store(settings), open_supervisor_store(settings)
        store.enqueue([new("a"), new("b"), new("c")])
        with Consumer(store) as hand:
            claimed = hand.claim()
            told: Any = keeper.listen()
            assert await anext(told) == ("", "subscribed")
            store.revoke("a")
            store.revoke("b", terminate=True)
            if notifies(store_url):
                assert [await anext(told), await anext(told)] == [(TAG, "revoke a 0"), (TAG, "revoke b 1")]
            assert await keeper.revocations(TAG, claimed) == ["revoked", "terminate", ""]
            assert await keeper.revocations(TAG, []) == []
            await told.aclose()

    async def test_the_keeper_may_have_callbacks_sent(self, store_url: str) -> None:
        settings = StoreSettings(url=store_url)
        store, keeper = open_store(settings), open_supervisor_store(settings)
        store.enqueue([new("a"), new("b")])
        with Consumer(store) as hand:
            a, b = hand.claim()
            assert await keeper.settle(TAG, [outcome_of(a, "DEAD")]) == [Settled.DONE]
            assert hand.claim() == []
            assert await keeper.settle(TAG, [outcome_of(b, "DEAD")], "all") == [Settled.DONE]
            [callback] = hand.claim()
            assert Message.decode(callback.body.partition(b" ")[2]).args == ["b"]

    async def test_also_of_an_attempt_that_is_run_again(self, store_url: str) -> None:
        settings = StoreSettings(url=store_url)
        store, keeper = open_store(settings), open_supervisor_store(settings)
        store.enqueue([new("a")])
        with Consumer(store) as hand:
            [a] = hand.claim()
            assert await keeper.settle(TAG, [outcome_of(a, "RETRY", delay_ms=60_000)], "all") == [Settled.DONE]
            [callback] = hand.claim()
            assert Message.decode(callback.body.partition(b" ")[2]).args == ["a", 1]


class TestAfter:
    def test_it_says_what_it_waits_for(self, store: AnyStore, hand: Consumer) -> None:
        store.enqueue([new("a"), new("b", after="a")])
        [snapshot] = store.read(["b"])
        assert (snapshot.state, snapshot.waits_for) == (State.BLOCKED, "a")
        assert hand.succeed() == ["a"]

    @pytest.mark.parametrize(("state", "skip_reason"), [("SUCCESS", ""), ("FAILURE", "parent a")])
    async def test_it_goes_on_when_that_one_is_finished(self, store_url: str, state: str, skip_reason: str) -> None:
        settings = StoreSettings(url=store_url)
        store, keeper = open_store(settings), open_supervisor_store(settings)
        store.enqueue([new("a"), new("b", after="a")])
        with Consumer(store) as hand:
            [claimed] = hand.claim()
            hand.settle(outcome_of(claimed, state, b"{}"))
            assert (await keeper.promote(TAG)).promoted == 1
            [claimed] = hand.claim()
            assert (claimed.id, claimed.skip_reason) == ("b", skip_reason)


class TestFollowUps:
    def test_they_are_accepted_with_the_outcome(self, store: AnyStore, hand: Consumer) -> None:
        store.enqueue([new(f"{n}") for n in range(60)])
        claimed = hand.claim()
        done = [outcome_of(c, "SUCCESS", b"{}")._replace(follow=(new(f"{c.id}x"), new(f"{c.id}y"))) for c in claimed]
        assert hand.settle(*done) == [Settled.DONE] * 60
        assert sorted(c.id for c in [*hand.claim(), *hand.claim()]) == sorted(
            f"{n}{what}" for n in range(60) for what in "xy"
        )


class TestForget:
    def test_everything_finished_goes(self, store_url: str, any_store: Any) -> None:
        store = any_store(store_url, tags=TAGS[:3])
        ids = [new_id(TAGS[:3]) for _ in range(330)]
        store.enqueue([new(task_id) for task_id in ids])
        for tag in TAGS[:3]:
            with Consumer(open_store(store.settings), tag=tag) as hand:
                while hand.succeed(most=7):
                    pass
        [unfinished] = [new_id(TAGS[:1])]
        store.enqueue([new(unfinished)])
        now_ms = max(snapshot.finished_ms for snapshot in store.read(ids) if snapshot)
        assert store.delete_finished(0) == 0
        assert store.delete_finished(now_ms - 3_600_000) == 0
        assert store.delete_finished(now_ms + 1) == 330
        assert set(store.read(ids)) == {None}
        assert store.read([unfinished]) != [None]
        assert store.enqueue([new(ids[0])]) == [False], "still known"
        assert store.delete_finished(now_ms + 1) == 0

    def test_one_that_is_finished(self, store: AnyStore, hand: Consumer) -> None:
        store.enqueue([new("a"), new("b")])
        assert not store.delete_result("a")
        hand.succeed(most=1)
        assert store.delete_result("a")
        assert [snapshot is None for snapshot in store.read(["a", "b"])] == [True, False]
