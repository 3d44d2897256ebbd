"""Looking at a store: what runs, counts, workers, events and changes, in the same way with every driver."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

from streamtasks import StoreSettings, StreamTasks, chain
from streamtasks.protocol.message import Message
from streamtasks.protocol.shards import ALL_TAGS, new_id
from streamtasks.protocol.state import State
from streamtasks.stores.factory import open_async_store, open_store, open_supervisor_store
from tests.support.manual_consumer import Consumer, outcome_of
from tests.support.new_messages import new
from tests.support.sql_stores import notifies

TAG = "u0"
TAGS = ALL_TAGS[:16]


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
        assert Message.decode(found[0].body.partition(b" ")[2]).args == [found[0].id]
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
