"""What only the store in memory has: a clock that can be moved, a bound, and names that a process shares."""

from __future__ import annotations

import asyncio
import random
import select
import threading
from collections.abc import Iterator

import pytest

from streamtasks import ConfigurationError, Message, StoreFull, StoreSettings, StreamTasks
from streamtasks.exceptions import ServerNotSupported
from streamtasks.protocol.state import State
from streamtasks.stores.factory import open_async_store, open_store, open_supervisor_store
from streamtasks.stores.memory import AsyncMemoryStore, Clock, MemoryServer, MemoryStore
from streamtasks.stores.memory.delayed import Delayed
from streamtasks.stores.memory.shard import MANY
from streamtasks.stores.types import ClaimRequest, Filter, Limit, NewMessage
from tests.support.manual_consumer import Consumer, outcome_of

SETTINGS = StoreSettings(url="memory://own", failure_expires_s=7 * 86_400)
START_MS = 1_800_000_000_000


def new(task_id: str, delay_ms: int | None = None) -> NewMessage:
    envelope = Message(id=task_id, task="t").encode(1 << 20)
    return NewMessage(task_id, "default", 0, envelope, delay_ms=delay_ms)


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer(Clock(START_MS))


@pytest.fixture
def store(server: MemoryServer) -> MemoryStore:
    return MemoryStore(SETTINGS, server)


@pytest.fixture
def hand(store: MemoryStore) -> Iterator[Consumer]:
    with Consumer(store) as opened:
        yield opened


class TestClock:
    async def test_what_is_due_in_a_week_can_be_had_today(
        self, server: MemoryServer, store: MemoryStore, hand: Consumer
    ) -> None:
        keeper = AsyncMemoryStore(SETTINGS, server)
        week_ms = 7 * 86_400_000
        store.enqueue([new("a", week_ms)])
        assert (await keeper.promote("u0")).next_due_us == week_ms * 1000
        server.clock.advance(week_ms / 1000 - 0.001)
        assert (await keeper.promote("u0")) == (0, 1000)
        server.clock.advance(0.001)
        assert (await keeper.promote("u0")) == (1, None)
        assert hand.succeed() == ["a"]
        [snapshot] = store.read(["a"])
        assert snapshot is not None
        assert (snapshot.enqueued_ms, snapshot.finished_ms) == (START_MS, START_MS + week_ms)

    def test_records_expire(self, server: MemoryServer, store: MemoryStore, hand: Consumer) -> None:
        store.enqueue([new("a")])
        hand.settle(*(outcome_of(c, "SUCCESS", b"{}", keep_ms=900_000) for c in hand.claim()))
        server.clock.advance(899.999)
        assert store.enqueue([new("a")]) == [False]
        server.clock.advance(0.001)
        assert store.read(["a"]) == [None]
        assert store.enqueue([new("a")]) == [True]

    def test_leases_end(self, server: MemoryServer, store: MemoryStore, hand: Consumer) -> None:
        store.enqueue([new("a")])
        hand.claim(1)
        server.clock.advance(SETTINGS.lease_s)
        keeper = AsyncMemoryStore(SETTINGS, server)

        async def reclaim() -> int:
            await keeper.beat("u0", "w", {})
            return (await keeper.reclaim("u0")).reclaimed

        assert asyncio.run(reclaim()) == 1

    def test_it_never_goes_back(self) -> None:
        clock = Clock(START_MS)
        with pytest.raises(ConfigurationError, match="seconds is -1"):
            clock.advance(-1)

    def test_the_systems_clock_goes_on(self) -> None:
        clock = Clock()
        before = clock.now_us()
        clock.advance(3600)
        assert before + 3_600_000_000 <= clock.now_us() < before + 3_660_000_000


class TestBound:
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore(SETTINGS, MemoryServer(max_tasks=3))

    def test_beyond_it_nothing_is_stored(self, store: MemoryStore, hand: Consumer) -> None:
        store.enqueue([new("a"), new("b")])
        with pytest.raises(StoreFull, match="max_tasks is 3"):
            store.enqueue([new("c"), new("d")])
        assert store.read(["c", "d"]) == [None, None]
        assert store.enqueue([new("c"), new("a"), new("c")]) == [True, False, False]
        assert store.enqueue([new("a")]) == [False], "a known one is no news"
        hand.succeed(most=1)
        assert store.enqueue([new("d")]) == [True]

    def test_of_finished_ones_the_oldest_are_forgotten(self, store: MemoryStore, hand: Consumer) -> None:
        for task_id in ("a", "b", "c", "d"):
            store.enqueue([new(task_id)])
            hand.succeed()
        assert [s is not None and s.state for s in store.read(["a", "b", "d"])] == [False, State.SUCCESS, State.SUCCESS]


class TestGrowth:
    """Nobody sweeps a store in memory in a process that only enqueues and runs: it cleans up as it grows."""

    def test_names_that_are_used_once_do_not_stay(self, server: MemoryServer, store: MemoryStore) -> None:
        limit = Limit("slow", 1000, 1)
        with server.step():
            shard = store.shard("u0")
        for number in range(3 * MANY):
            task_id = f"{number}"
            store.enqueue([NewMessage(task_id, f"tenant-{number}", 0, b"{}", limit=limit._replace(name=task_id))])
            with Consumer(store, f"child-{number}") as hand:
                store.admit("u0")
                hand.settle(*(outcome_of(c, "SUCCESS", keep_ms=1) for c in hand.claim()))
            server.clock.advance(3600)
            store.admit("u0")
        for kept in ("streams", "wakes", "claims", "limiters", "waiting", "limits", "asking", "records", "live"):
            assert len(getattr(shard, kept)) < MANY + 10, kept


class TestNames:
    def test_stores_of_one_name_share_everything(self) -> None:
        MemoryServer.at("memory://shared").flush()
        settings = StoreSettings(url="memory://shared")
        open_store(settings).enqueue([new("a")])
        other = StoreSettings(url="memory://shared", lease_s=5)
        assert open_store(other).read(["a"]) != [None]
        assert open_store(StoreSettings(url="memory://another")).read(["a"]) == [None]
        for opened in (open_async_store(settings), open_supervisor_store(settings)):
            assert isinstance(opened, AsyncMemoryStore)
            assert opened.server is MemoryServer.at("memory://shared")

    @pytest.mark.parametrize("url", ["memory://x?max_tasks=some", "memory://x?most=1", "memory://x?max_tasks=0"])
    def test_a_wrong_url_says_what_to_write(self, url: str) -> None:
        with pytest.raises(ConfigurationError, match="max_tasks"):
            open_store(StoreSettings(url=url))

    def test_two_bounds_for_one_name_contradict_each_other(self) -> None:
        MemoryServer.at("memory://bounded?max_tasks=5")
        assert MemoryServer.at("memory://bounded").max_tasks == 5
        with pytest.raises(ConfigurationError, match="max_tasks=5"):
            MemoryServer.at("memory://bounded?max_tasks=6")

    def test_it_is_nothing_to_deploy(self) -> None:
        with pytest.raises(ServerNotSupported, match="memory of one process"):
            open_store(SETTINGS).check()


class TestThreads:
    def test_many_children_at_once_get_each_message_once(self, store: MemoryStore) -> None:
        ids = [f"{n:03}" for n in range(600)]
        got: list[str] = []

        def work(name: str) -> None:
            with Consumer(store, name) as hand:
                while len(got) < len(ids):
                    got.extend(hand.succeed(most=3))

        threads = [threading.Thread(target=work, args=[f"child{n}"]) for n in range(4)]
        for thread in threads:
            thread.start()
        for at in range(0, len(ids), 10):
            store.enqueue([new(task_id) for task_id in ids[at : at + 10]])
        for thread in threads:
            thread.join(60)
        assert sorted(got) == ids
        assert store.statistics().outcomes == {"SUCCESS": len(ids)}

    def test_the_bound_holds_when_many_enqueue(self) -> None:
        store = MemoryStore(SETTINGS, MemoryServer(max_tasks=50))
        refused: list[str] = []

        def enqueue(name: str) -> None:
            for n in range(50):
                try:
                    store.enqueue([new(f"{name}-{n}")])
                except StoreFull:
                    refused.append(name)

        threads = [threading.Thread(target=enqueue, args=[f"{n}"]) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert (store.statistics().unfinished, len(refused)) == (50, 150)


class TestWaiting:
    def test_a_waiting_child_is_woken_by_its_queue(self, store: MemoryStore) -> None:
        channel = store.channel("u0", "child", Filter("only", ("mail",)))
        fd = channel.start_wait()
        store.enqueue([new("a")])
        assert not select.select([fd], [], [], 0)[0]
        store.enqueue([new("b")._replace(queue="mail")])
        assert select.select([fd], [], [], 0)[0]
        channel.finish_wait()
        channel.send([], ClaimRequest(1, 9, True))
        assert [c.id for c in channel.receive().claimed] == ["b"]
        channel.close()

    def test_a_ring_that_came_before_the_wait_is_not_lost(self, store: MemoryStore) -> None:
        channel = store.channel("u0", "child", Filter())
        store.enqueue([new("a")])
        assert select.select([channel.start_wait()], [], [], 0)[0]
        channel.close()

    def test_one_ring_wakes_one_child(self, store: MemoryStore) -> None:
        channels = [store.channel("u0", f"child{n}", Filter()) for n in range(2)]
        fds = [channel.start_wait() for channel in channels]
        store.enqueue([new("a"), new("b")])
        assert select.select(fds, [], [], 0)[0] == fds[:1]
        channels[0].finish_wait()
        channels[0].send([], ClaimRequest(1, 1, True))
        assert select.select(fds, [], [], 0)[0] == fds[1:], "what is left is the next one's"
        for channel in channels:
            channel.close()

    def test_get_is_woken_from_another_thread(self) -> None:
        MemoryServer.at("memory://waiting").flush()
        app = StreamTasks("memory://waiting")

        @app.task(name="add")
        def add(a: int, b: int) -> int:
            return a + b

        result = add.enqueue(1, 2)
        with Consumer(app.store) as hand:
            thread = threading.Thread(target=lambda: hand.succeed(3))
            thread.start()
            assert result.get(timeout=60) == 3
            thread.join()


def test_delayed_messages_come_in_the_order_in_which_they_are_due() -> None:
    delayed = Delayed()
    expected: dict[str, int] = {}
    order = random.Random(1)
    for _ in range(5000):
        task_id, due_ms = f"m{order.randrange(300)}", order.randrange(1, 1000)
        if order.random() < 0.3:
            delayed.discard(task_id)
            expected.pop(task_id, None)
        else:
            delayed.put(task_id, due_ms)
            expected[task_id] = due_ms
        in_order = sorted((at_ms, one) for one, at_ms in expected.items())
        assert delayed.first() == (in_order[0] if in_order else None)
    assert len(delayed) == len(expected)
    assert len(delayed._heap) <= 1000 + 2 * 300  # pyright: ignore[reportPrivateUsage]
    due = [one for at_ms, one in sorted((at_ms, one) for one, at_ms in expected.items()) if at_ms <= 500]
    assert delayed.take_due(500) == due
    assert (delayed.take_due(500), len(delayed)) == ([], len(expected) - len(due))
    assert delayed.due_ms(due[0]) == 0
