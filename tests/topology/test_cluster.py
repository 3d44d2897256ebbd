"""A real Cluster of three masters: producers, results, workers."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis

from streamtasks import State, StoreSettings, StoreUnavailable, StreamTasks, group
from streamtasks.exceptions import ConfigurationError, ServerNotSupported
from streamtasks.protocol.shards import ALL_TAGS, new_id
from streamtasks.stores.factory import open_async_store, open_store
from tests.core.test_store import new
from tests.support.fleet import Fleet
from tests.support.waiting import DEADLINE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streamtasks.results import Result
    from tests.support.servers import Cluster

pytestmark = pytest.mark.topology


@pytest.fixture
def url(cluster_url: str) -> str:
    return cluster_url.replace("redis://", "redis+cluster://").removesuffix("/0")


class TestStore:
    def test_a_cluster_has_64_shards_unless_told_otherwise(self, url: str) -> None:
        assert StoreSettings(url=url).tags == ALL_TAGS
        assert len(ALL_TAGS) == 64
        assert StoreSettings(url=url, tags=("u0", "dj")).tags == ("u0", "dj")
        assert StoreSettings().tags == ("u0",)

    def test_messages_are_spread_over_all_masters(self, url: str, cluster: Cluster) -> None:
        store = open_store(StoreSettings(url=url))
        messages = [new(new_id(ALL_TAGS)) for _ in range(3200)]
        assert store.enqueue(messages) == [True] * len(messages)
        assert store.enqueue(messages[:5]) == [False] * 5
        found = store.read([message.id for message in messages])
        assert [one and one.id for one in found] == [message.id for message in messages]
        counts = []
        for node in cluster.nodes:
            with redis.Redis.from_url(node.url) as client:
                keys: Any = client.keys("*messages")
                counts.append(sum(int(client.hlen(key)) for key in keys))
        assert sum(counts) == len(messages)
        assert min(counts) > 800

    def test_sixteen_shards_grow_to_64(self, url: str) -> None:
        """What is there stays where it is, and new messages go to all shards."""
        before = [new(new_id(ALL_TAGS[:16])) for _ in range(64)] + [new(f"order-{n}") for n in range(64)]
        assert all(open_store(StoreSettings(url=url, shards=16)).enqueue(before))
        with pytest.raises(ConfigurationError, match=r"over 16 shards, not over 64 .* set shards=16 to keep them, or"):
            open_store(StoreSettings(url=url)).enqueue([new("default")])
        store = open_store(StoreSettings(url=url, shards=64))
        assert not any(store.enqueue(before)), "they are known"
        later = [new(new_id(ALL_TAGS)) for _ in range(256)]
        assert all(store.enqueue(later))
        assert {message.id.rpartition("-")[2] for message in later} == set(ALL_TAGS)
        assert all(store.read([message.id for message in before + later]))
        with pytest.raises(ConfigurationError, match=r"shards is 32, .* over 64 shards, .* set shards=64, or"):
            open_store(StoreSettings(url=url, shards=32)).check()
        assert not any(open_store(StoreSettings(url=url)).enqueue(before)), "that is the default"

    def test_threads_share_the_map(self, url: str) -> None:
        store = open_store(StoreSettings(url=url))
        accepted: list[bool] = []

        def produce() -> None:
            for _ in range(20):
                accepted.extend(store.enqueue([new(new_id(ALL_TAGS)) for _ in range(10)]))

        threads = [threading.Thread(target=produce) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_S)
        assert accepted == [True] * 800

    async def test_an_event_loop_does_it_as_well(self, url: str) -> None:
        store = open_async_store(StoreSettings(url=url))
        messages = [new(new_id(ALL_TAGS)) for _ in range(320)]
        assert await store.enqueue(messages) == [True] * len(messages)
        assert all(await store.read([message.id for message in messages]))
        assert (await store.statistics()).unfinished == 320

    def test_scripts_that_a_node_has_lost_are_loaded_again(self, url: str, cluster: Cluster) -> None:
        store = open_store(StoreSettings(url=url))
        store.enqueue([new(new_id(ALL_TAGS)) for _ in range(32)])
        for node in cluster.nodes:
            with redis.Redis.from_url(node.url) as client:
                client.script_flush()
        assert store.enqueue([new(new_id(ALL_TAGS)) for _ in range(32)]) == [True] * 32

    def test_any_node_that_answers_will_do(self, url: str, cluster: Cluster) -> None:
        nodes = [f"127.0.0.1:{port}" for port in (1, cluster.nodes[2].port)]
        store = open_store(StoreSettings(url=f"redis+cluster://{','.join(nodes)}"))
        assert store.enqueue([new(new_id(ALL_TAGS))]) == [True]


class TestCheck:
    def test_every_master_is_asked(self, url: str, cluster: Cluster) -> None:
        """Also one that has none of the shards: it may get one."""
        for settings in (StoreSettings(url=url), StoreSettings(url=url, tags=("u0",), key_prefix="one:")):
            warnings = open_store(settings).check()
            for node in cluster.nodes:
                assert sum(f"127.0.0.1:{node.port} has appendonly off" in warning for warning in warnings) == 1

    def test_a_user_who_lacks_rights_on_one_master_is_told(self, url: str, cluster: Cluster) -> None:
        for node in cluster.nodes:
            words = ("on", ">secret", "~*", "&*", "+@all") + (("-xadd",) if node is cluster.nodes[1] else ())
            with redis.Redis.from_url(node.url) as client:
                client.execute_command("ACL", "SETUSER", "app", "reset", *words)
        store = open_store(StoreSettings(url=url.replace("://", "://app:secret@")))
        warnings = [one for one in store.check() if "may not do what a worker does" in one]
        for node in cluster.nodes:
            with redis.Redis.from_url(node.url) as client:
                client.execute_command("ACL", "DELUSER", "app")
        [warning] = warnings
        assert f"the user of 127.0.0.1:{cluster.nodes[1].port} may not" in warning
        assert "it may not XADD." in warning


class TestBadInput:
    def test_no_node_can_be_reached(self) -> None:
        store = open_store(StoreSettings(url="redis+cluster://127.0.0.1:1,127.0.0.1:2", enqueue_timeout_s=0.2))
        with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:2: "):
            store.enqueue([new("a")])
        assert "cannot be reached" in store.check()[0]

    def test_a_server_that_is_no_node(self, embedded_url: str) -> None:
        url = embedded_url.replace("redis://", "redis+cluster://").removesuffix("/0")
        store = open_store(StoreSettings(url=url))
        with pytest.raises(ConfigurationError, match="is no node of a Cluster"):
            store.enqueue([new("a")])
        with pytest.raises(ConfigurationError, match="is no node of a Cluster"):
            store.check()

    def test_a_node_of_a_cluster_as_a_single_server(self, cluster_url: str) -> None:
        store = open_store(StoreSettings(url=cluster_url, tags=ALL_TAGS, enqueue_timeout_s=0.2))
        with pytest.raises(StoreUnavailable, match=r"node of a Cluster, whose URL begins with redis\+cluster"):
            store.enqueue([new(new_id(ALL_TAGS)) for _ in range(16)])

    def test_masters_without_replicas_cannot_replicate(self, url: str, cluster: Cluster) -> None:
        store = open_store(StoreSettings(url=url, durability="replicated"))
        ports = "|".join(str(node.port) for node in cluster.nodes)
        message = rf"127\.0\.0\.1:({ports}) has no replicas.*Attach replicas"
        with pytest.raises(ServerNotSupported, match=message):
            store.enqueue([new(new_id(ALL_TAGS))])
        with pytest.raises(ServerNotSupported, match=message):
            store.check()

    @pytest.mark.parametrize(
        "url", ["redis+cluster://", "redis+cluster://h:0", "redis+cluster://h/1", "redis+cluster://h,"]
    )
    def test_a_url_that_names_no_nodes(self, url: str) -> None:
        with pytest.raises(ConfigurationError, match=r"redis\+cluster"):
            open_store(StoreSettings(url=url)).check()


class Load:
    """Producers that enqueue on all shards until they are stopped, each call within its deadline."""

    def __init__(self, app: StreamTasks, threads: int = 2) -> None:
        self.results: list[Result[Any]] = []
        self.errors: list[Exception] = []
        self._app = app
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._produce) for _ in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(DEADLINE_S)

    def _produce(self) -> None:
        task = self._app.tasks["nap"]
        while not self._stop.is_set():
            try:
                self.results += task.enqueue_many([(0.002,)] * 32)
            except Exception as error:
                self.errors.append(error)
            time.sleep(0.1)


@pytest.fixture
def fleet(url: str, tmp_path: Path) -> Any:
    made = Fleet(url, tmp_path, {"timeout_s": 60.0, "lease_s": 5.0})
    yield made
    made.close()


def wait_all(results: list[Result[Any]]) -> None:
    wait_until(lambda: all(result.ready() for result in results), "all are finished", 2 * DEADLINE_S)


class TestWorker:
    def test_a_worker_with_64_shards_finishes_what_sixteen_had(self, fleet: Fleet) -> None:
        fleet.configure(shards=16)
        results = fleet.many("add", [(n, 1) for n in range(64)])
        results += [fleet.app.tasks["add"].apply_async((n, 1), task_id=f"sum-{n}") for n in range(32)]
        fleet.configure(shards=64)
        fleet.start("--concurrency", "2")
        results += fleet.many("add", [(n, 1) for n in range(256)])
        wait_all(results)
        assert [result.get() for result in results] == [n + 1 for n in (*range(64), *range(32), *range(256))]
        assert len({result.id.rpartition("-")[2] for result in results[96:]}) == 64

    def test_the_list_of_shards_grows_under_load(self, fleet: Fleet) -> None:
        """A running worker serves the new ones; producers of both lists go on, and nothing is lost or runs twice."""
        fleet.configure(shards=16)
        worker = fleet.start("--concurrency", "2")
        old = fleet.app
        with Load(old) as load:
            time.sleep(0.5)
            fleet.configure(shards=64)
            with Load(fleet.app) as more:
                worker.wait_log("the shards of proc are 64 now")
                time.sleep(1.0)
        results = load.results + more.results
        wait_all(results)
        assert not load.errors + more.errors
        assert {result.state for result in results} == {State.SUCCESS}
        executions = fleet.record.executions()
        assert len(executions) == len({execution.id for execution in executions}) == len(results)
        soon = fleet.many("add", [(n, 1) for n in range(256)])
        assert {result.id.rpartition("-")[2] for result in soon} == set(ALL_TAGS)
        assert [result.get(timeout=DEADLINE_S) for result in soon] == [n + 1 for n in range(256)]
        assert "ERROR" not in worker.log

    def test_two_children_serve_all_shards(self, fleet: Fleet) -> None:
        results = fleet.many("add", [(n, 1) for n in range(640)])
        fleet.start("--concurrency", "2")
        wait_all(results)
        assert [result.get() for result in results] == [n + 1 for n in range(640)]

    @pytest.mark.parametrize("executor", [("--threads", "4"), ("--async-concurrency", "8")])
    def test_other_executors_do_as_well(self, fleet: Fleet, executor: tuple[str, ...]) -> None:
        results = fleet.many("add", [(n, 1) for n in range(160)])
        fleet.start("--concurrency", "1", *executor)
        wait_all(results)
        assert [result.get() for result in results] == [n + 1 for n in range(160)]

    def test_an_idle_worker_starts_soon_and_results_are_pushed(
        self, fleet: Fleet, figure: Callable[[str], None], bound: Callable[[float], float]
    ) -> None:
        fleet.start("--concurrency", "2")
        took = []
        for n in range(64):
            begun = time.monotonic()
            assert fleet.enqueue("add", n, 1).get(timeout=DEADLINE_S) == n + 1
            took.append(time.monotonic() - begun)
        took.sort()
        figure(f"enqueue to result p50 {took[32] * 1e3:.1f} ms, max {took[-1] * 1e3:.1f} ms")
        assert took[60] < bound(0.1)

    def test_workflows_and_delays(self, fleet: Fleet) -> None:
        add = fleet.app.tasks["add"]
        fleet.start("--concurrency", "2")
        members = group(add.s(n, 1) for n in range(20)).apply_async()
        later = [add.apply_async((1, n), countdown=0.2) for n in range(16)]
        assert members.get(timeout=DEADLINE_S) == [n + 1 for n in range(20)]
        assert [result.get(timeout=DEADLINE_S) for result in later] == [n + 1 for n in range(16)]

    async def test_an_event_loop_waits_for_results(self, fleet: Fleet) -> None:
        fleet.start("--concurrency", "1")
        results = [await fleet.app.tasks["add"].aenqueue(n, 1) for n in range(20)]
        found = await asyncio.gather(*(result.aget(timeout=DEADLINE_S) for result in results))
        assert found == [n + 1 for n in range(20)]

    def test_a_slot_that_moves_loses_nothing(self, fleet: Fleet, cluster: Cluster) -> None:
        fleet.start("--concurrency", "2")
        with Load(fleet.app) as load:
            time.sleep(0.3)
            for to in (0, 1, 2, 0):
                cluster.move_slot(ALL_TAGS[0], to=to)
                time.sleep(0.3)
        wait_all(load.results)
        assert not load.errors
        assert {result.state for result in load.results} == {State.SUCCESS}
        assert len({execution.id for execution in fleet.record.executions()}) == len(load.results)
