"""Revoking, looking and forgetting through a store, in the same way with every driver."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from streamtasks import StoreSettings, StreamTasks, chain
from streamtasks.protocol.message import Message
from streamtasks.protocol.shards import ALL_TAGS, new_id
from streamtasks.protocol.state import Snapshot, State
from streamtasks.stores.factory import open_async_store, open_store, open_supervisor_store
from streamtasks.stores.types import NewMessage, Revocation, Settled
from tests.core.conftest import AnyStore
from tests.support.manual_consumer import Consumer, outcome_of
from tests.support.sql_stores import notifies

TAG = "u0"
TAGS = ALL_TAGS[:16]
CALLBACK = "streamtasks.callback"


def new(task_id: str, queue: str = "default", priority: int = 0, **options: Any) -> NewMessage:
    message = Message(id=task_id, task="t", args=[task_id], queue=queue, priority=priority)
    return NewMessage(task_id, queue, priority, message.encode(1 << 20), **options)


@pytest.fixture
def hand(store: AnyStore) -> Iterator[Consumer]:
    with Consumer(open_store(store.settings)) as opened:
        yield opened


def state_of(store: AnyStore, task_id: str) -> State | None:
    snapshot: Snapshot | None = store.read([task_id])[0]
    return snapshot.state if snapshot else None


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


class TestActive:
    def test_running_ones_of_all_shards_the_longest_first(self, store_url: str, any_store: Any) -> None:
        store = any_store(store_url, tags=TAGS)
        ids = [new_id((tag,)) for tag in TAGS[:4]]
        for task_id, tag in zip(reversed(ids), reversed(TAGS[:4]), strict=True):
            store.enqueue([new(task_id)])
            with Consumer(open_store(store.settings), tag=tag) as hand:
                hand.claim(1)
        found = store.active()
        assert {one.id for one in found} == set(ids)
        assert [one.started_ms for one in found] == sorted(one.started_ms for one in found)
        assert {one.worker for one in found} == {"hand"}
        assert Message.decode(found[0].body.partition(b" ")[2]).id == found[0].id
        assert len(store.active(2)) == 2


class TestStatistics:
    def test_counts_of_all_shards(self, store_url: str, any_store: Any) -> None:
        store = any_store(store_url, tags=TAGS)
        assert store.statistics() == (0, 0, 0, {}, 0)
        ids = [new_id((tag,)) for tag in TAGS]
        store.enqueue([new(task_id) for task_id in ids])
        store.enqueue([new(new_id((tag,)), delay_ms=60_000) for tag in TAGS[:3]])
        for tag in TAGS[:5]:
            with Consumer(open_store(store.settings), tag=tag) as hand:
                [claimed] = hand.claim(1)
                started = claimed.first_started_ms - 1_000
                hand.settle(outcome_of(claimed, "SUCCESS" if tag != "u0" else "FAILURE", b"{}", started_ms=started))
        with Consumer(open_store(store.settings), tag=TAGS[7]) as hand:
            hand.claim(1)
        found = store.statistics()
        assert found[:4] == (14, 1, 3, {"SUCCESS": 4, "FAILURE": 1})
        assert 5_000 <= found.run_ms < 15_000


class TestWorkers:
    async def test_their_latest_beats(self, store_url: str) -> None:
        settings = StoreSettings(url=store_url, tags=TAGS[:2])
        store, keeper = open_store(settings), open_supervisor_store(settings)
        assert store.workers() == []
        await keeper.beat("u0", "one", {"children": 2})
        await keeper.beat("qp", "two", {})
        beat = await keeper.beat("qp", "one", {"children": 3})
        one, two = store.workers()
        by_async = await open_async_store(settings).workers()
        assert [worker[:3] for worker in by_async] == [one[:3], two[:3]], "all but silent_ms, which grows"
        assert (one.name, one.about, one.beat_ms) == ("one", {"children": 3}, beat.now_ms)
        assert (two.name, two.about) == ("two", {})
        assert 0 <= one.silent_ms <= 60_000
        await keeper.beat("qp", "one", None)
        await keeper.beat("u0", "one", None)
        assert [worker.name for worker in store.workers()] == ["two"]


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


class TestEvents:
    def test_they_are_read_from_a_cursor_on(self, store_url: str, any_store: Any) -> None:
        store = any_store(store_url, tags=TAGS[:2], send_events=True)
        assert store.events().events == []
        ids = [new_id((tag,)) for tag in TAGS[:2]]
        store.enqueue([new(task_id) for task_id in ids])
        events, cursor = store.events()
        assert {(event.kind, event.id, event.detail) for event in events} == {
            ("accepted", task_id, "0:default") for task_id in ids
        }
        assert store.events(cursor) == ([], cursor)
        store.revoke(ids[1])
        [event], cursor = store.events(cursor)
        assert (event.kind, event.id, event.detail) == ("settled", ids[1], "REVOKED")
        assert store.events(cursor) == ([], cursor)

    def test_what_follows_a_task_is_accepted_with_its_outcome(self, store_url: str, any_store: Any) -> None:
        store = any_store(store_url, send_events=True)
        store.enqueue([new("a")])
        _, cursor = store.events()
        with Consumer(open_store(store.settings)) as hand:
            [claimed] = hand.claim()
            follow = (new("b", priority=3), new("c"), new("a"))  # the last is known
            hand.settle(outcome_of(claimed, "SUCCESS", b"{}")._replace(follow=follow))
        assert [event[1:] for event in store.events(cursor).events if event.kind != "started"] == [
            ("settled", "a", "SUCCESS"),
            ("accepted", "b", "3:default"),
            ("accepted", "c", "0:default"),
        ]

    def test_tasks_of_a_workflow_are_accepted_when_they_may_run(self, store_url: str) -> None:
        app = StreamTasks(store_url, send_events=True)

        @app.task
        def step(*_: Any) -> None:
            """Do nothing."""

        last = chain(step.s(), step.s().set(priority=2), step.s()).delay()
        first, second, third = (node.id for node in last.workflow.graph())
        found, cursor = app.store.events()
        assert [event[1:] for event in found] == [("accepted", first, "0:default")]
        with Consumer(app.store) as hand:
            hand.succeed()
        found, cursor = app.store.events(cursor)
        assert [event[1:] for event in found if event.kind != "started"] == [
            ("settled", first, "SUCCESS"),
            ("accepted", second, "2:default"),
        ]
        app.store.revoke(second)
        found, cursor = app.store.events(cursor)
        assert [event[1:] for event in found] == [("settled", second, "REVOKED"), ("accepted", third, "0:default")]


class TestWatch:
    async def test_every_change_is_seen_as_it_is_told(self, store_url: str, bound: Callable[[float], float]) -> None:
        settings = StoreSettings(url=store_url)
        store, keeper, watcher = open_store(settings), open_supervisor_store(settings), open_async_store(settings)
        store.enqueue([new("a")])
        seen = watcher.watch("a")
        assert (await anext(seen)).state is State.QUEUED
        with Consumer(store) as hand:
            [claimed, *_] = hand.claim(2)
            await keeper.mark_running(TAG, [(claimed, 0)])
            assert (await anext(seen)).state is State.STARTED
            before = time.monotonic()
            for number in range(5):
                await keeper.progress(TAG, [(claimed, b'{"n":%d}' % number)])
                assert (await anext(seen)).progress == b'{"n":%d}' % number
            hand.settle(outcome_of(claimed, "SUCCESS", b"{}"))
            assert (await anext(seen)).state is State.SUCCESS
            assert time.monotonic() - before < bound(2.0), "woken by pushes, not by looking once a second"
        assert [snapshot async for snapshot in seen] == []

    async def test_a_retry_is_told(self, store_url: str, bound: Callable[[float], float]) -> None:
        settings = StoreSettings(url=store_url)
        store, watcher = open_store(settings), open_async_store(settings)
        store.enqueue([new("a")])
        with Consumer(store) as hand:
            [claimed] = hand.claim(1)
            seen = watcher.watch("a")
            assert (await anext(seen)).state is State.STARTED
            before = time.monotonic()
            hand.settle(outcome_of(claimed, "RETRY", delay_ms=60_000))
            assert (await anext(seen)).state is State.RETRY
            assert time.monotonic() - before < bound(0.5), "it looks by itself only after a second"
            await cast("Any", seen).aclose()

    async def test_it_looks_by_itself(self, store_url: str, bound: Callable[[float], float]) -> None:
        settings = StoreSettings(url=store_url)
        open_store(settings).enqueue([new("a")])
        seen: Any = open_async_store(settings).watch("a")
        before = time.monotonic()
        assert [(await anext(seen)).state for _ in range(2)] == [State.QUEUED] * 2
        assert (0.5 if notifies(store_url) else 0.2) < time.monotonic() - before < bound(3.0)
        await seen.aclose()

    async def test_nothing_known_is_nothing_to_see(self, store_url: str) -> None:
        watcher = open_async_store(StoreSettings(url=store_url))
        assert [snapshot async for snapshot in watcher.watch("a")] == []


class TestDoomed:
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
