"""Durability levels on real servers: who has a message when enqueueing returns, and what is raised if not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import redis

from streamtasks import StoreSettings, StreamTasks, chain, group
from streamtasks.exceptions import AccessDenied, ConfigurationError, InvalidTask, NotDurable, ServerNotSupported
from streamtasks.protocol.keys import Keys
from streamtasks.stores.factory import open_store
from streamtasks.stores.redis import RedisStore, conversation
from streamtasks.stores.types import NewMessage
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.replicated import Replicated
from tests.support.servers import has_waitaof, server_kinds, skip_without_waitaof
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from streamtasks.stores.redis.replica_count import ReplicaCount
    from tests.core.conftest import AnyStore

    type OpenStore = Callable[..., AnyStore]

KEYS = Keys("streamtasks:", "u0")
PATIENT: dict[str, Any] = {"timeout_s": 60.0, "enqueue_timeout_s": 60.0, "durability_timeout_s": 60.0}
"""For what must succeed, however busy the machine is."""
HASTY: dict[str, Any] = {"timeout_s": 60.0, "enqueue_timeout_s": 60.0, "durability_timeout_s": 0.3}
"""For what cannot succeed."""


def new(task_id: str, level: Any = None) -> NewMessage:
    return NewMessage(task_id, "default", 0, b"{}", durability=level)


def count_of(store: Any, servers: Replicated) -> ReplicaCount:
    """Return what a store has learnt of the replicas."""
    found: ReplicaCount = store.shards.replica_counts.of(f"127.0.0.1:{servers.master.port}")
    return found


@pytest.fixture(scope="module", params=server_kinds())
def _servers(request: pytest.FixtureRequest) -> Iterator[Replicated]:
    with Replicated(request.param) as started:
        yield started


@pytest.fixture
def servers(_servers: Replicated) -> Iterator[Replicated]:
    _servers.attach()
    yield _servers
    for server in _servers.replicas:
        server.resume()


def test_replicas_have_a_message_when_enqueueing_returns(servers: Replicated, any_store: OpenStore) -> None:
    store = any_store(servers.url, durability="replicated", **PATIENT)
    for n in range(20):
        assert store.enqueue([new(f"a{n}")]) == [True]
        assert all(servers.has(server, f"a{n}") for server in servers.replicas)
    assert store.enqueue([new(f"b{n}") for n in range(250)]) == [True] * 250
    assert all(servers.has(server, "b249") for server in servers.replicas)


def test_a_frozen_replica_makes_it_not_durable_also_when_it_is_sent_again(
    servers: Replicated, any_store: OpenStore
) -> None:
    assert any_store(servers.url, **PATIENT).enqueue([new("before", "replicated")]) == [True]
    servers.replicas[0].pause()
    for other in range(3):  # each on a connection that has written nothing yet
        with pytest.raises(NotDurable) as raised:
            any_store(servers.url, durability="replicated", max_connections=50 + other, **HASTY).enqueue([new("a")])
        error = raised.value
        assert (error.task_id, error.task_ids, error.durability) == ("a", ("a",), "replicated")
        assert (error.acknowledged, error.replicas, error.fsynced) == (1, 2, None)
        assert error.waited_s >= 0.29
        assert "task a is enqueued at 127.0.0.1:" in str(error)
        assert "1 of 2 replicas have it after" in str(error)
        assert "may be repeated" in str(error)
    store = any_store(servers.url, durability="replicated", **HASTY)
    with pytest.raises(NotDurable) as raised:
        store.enqueue([new("b"), new("c")])
    assert raised.value.task_ids == ("b", "c")
    assert servers.has(servers.master, "c")
    assert store.enqueue([new("d", "memory")]) == [True]
    servers.replicas[0].resume()
    assert any_store(servers.url, durability="replicated", **PATIENT).enqueue([new("a")]) == [False]
    assert servers.has(servers.replicas[0], "a")


def test_it_may_take_longer_than_any_other_reply(servers: Replicated, any_store: OpenStore) -> None:
    any_store(servers.url, durability="replicated", **PATIENT).enqueue([new("before")])
    quick = any_store(
        servers.url,
        durability="replicated",
        connection={"socket_timeout": 0.5},
        **HASTY | {"durability_timeout_s": 1.5},
    )
    servers.replicas[0].pause()
    with pytest.raises(NotDurable) as raised:
        quick.enqueue([new("b")])
    assert raised.value.waited_s >= 1.4


def test_a_server_that_forgot_the_scripts_is_waited_for_behind_them(servers: Replicated, any_store: OpenStore) -> None:
    store = any_store(servers.url, durability="replicated", **HASTY)
    any_store(servers.url, durability="replicated", **PATIENT).enqueue([new("before")])
    servers.replicas[0].pause()
    servers.client(servers.master).script_flush()
    with pytest.raises(NotDurable, match="1 of 2"):
        store.enqueue([new("a")])


def test_the_count_of_replicas_never_falls_and_rises_with_new_ones(servers: Replicated, any_store: OpenStore) -> None:
    _, second = servers.replicas
    servers.client(second).replicaof("NO", "ONE")
    master = servers.client(servers.master)

    def one_is_left() -> bool:
        info: Any = master.info("replication")
        return bool(info["connected_slaves"] == 1)

    wait_until(one_is_left, "one replica is left")
    store = any_store(servers.url, durability="replicated", **PATIENT)
    assert store.enqueue([new("a")]) == [True]
    servers.follow(second)
    count_of(store, servers).look_at = 0.0
    assert store.enqueue([new("b")]) == [True]
    assert count_of(store, servers).most == 2
    assert servers.has(second, "b")
    servers.client(second).replicaof("NO", "ONE")
    wait_until(one_is_left, "one replica is left")
    hasty = any_store(servers.url, durability="replicated", **HASTY)
    count = count_of(hasty, servers)
    count.most, count.look_at = 2, 0.0
    with pytest.raises(NotDurable, match="1 of 2"):
        hasty.enqueue([new("c")])
    one = any_store(servers.url, durability="replicated", replicas=1, **PATIENT)
    assert one.enqueue([new("c")]) == [False]


def test_it_takes_one_packet(servers: Replicated, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RedisStore(StoreSettings(url=servers.url, durability="replicated", **PATIENT))
    store.enqueue([new("a")])
    count_of(store, servers).look_at = float("inf")
    packets: list[list[str]] = []
    send = conversation._send  # pyright: ignore[reportPrivateUsage]

    def note(connection: Any, commands: list[tuple[Any, ...]]) -> None:
        packets.append([str(words[0]) for words in commands])
        send(connection, commands)

    monkeypatch.setattr(conversation, "_send", note)
    store.enqueue([new("b")])
    store.enqueue([new(f"c{n}") for n in range(100)])
    assert packets == [["EVALSHA", "EVALSHA", "WAIT"]] * 2


def test_every_way_to_say_it(servers: Replicated) -> None:
    hasty = StreamTasks(servers.url, **HASTY)
    levels: dict[str, Any] = {"plain": {}, "safe": {"durability": "replicated"}}
    plain, safe = (hasty.task(name=name, **options)(lambda *_: None) for name, options in levels.items())
    assert StreamTasks(servers.url, durability="replicated", **PATIENT).task(name="warm")(print).enqueue().id
    servers.replicas[1].pause()
    assert plain.enqueue().id
    for call in (
        safe.enqueue,
        safe.delay,
        safe.apply_async,
        lambda: plain.apply_async(durability="replicated"),
        lambda: plain.using(durability="replicated").enqueue(),
        lambda: plain.s().set(durability="replicated").apply_async(),
        lambda: safe.enqueue_many([(1,), (2,)]),
        lambda: chain(plain.s(), safe.si()).apply_async(),
        lambda: group(plain.si(), plain.si()).apply_async(durability="replicated"),
        StreamTasks(servers.url, durability="replicated", **HASTY).task(name="default")(print).enqueue,
    ):
        with pytest.raises(NotDurable):
            call()
    default = StreamTasks(servers.url, durability="replicated", **HASTY).task(name="default")(lambda *_: None)
    assert group(group(default.si(), default.si())).apply_async(durability="memory").ids
    assert safe.apply_async(durability="memory").id
    assert safe.using(durability="memory").enqueue().id
    servers.replicas[1].resume()
    patient = StreamTasks(servers.url, durability="replicated", **PATIENT)
    give = patient.task(name="give")(lambda *_: None)
    whole = group(give.s(n) for n in range(120)).apply_async()
    assert len(whole.ids) == 120
    assert all(servers.has(server, one) for server in servers.replicas for one in whole.ids)


async def test_from_an_event_loop(servers: Replicated) -> None:
    patient = StreamTasks(servers.url, durability="replicated", **PATIENT)
    give = patient.task(name="give")(lambda *_: None)
    results = [await give.aenqueue(n) for n in range(5)]
    whole = await group(give.s(n) for n in range(5)).aapply_async()
    ids = [*(one.id for one in results), *whole.ids]
    assert all(servers.has(server, one) for server in servers.replicas for one in ids)


def test_a_user_without_rights(servers: Replicated, any_store: OpenStore) -> None:
    client = servers.client(servers.master)
    for name, commands in (("noinfo", ["+@all", "-info"]), ("nowait", ["+@all", "-wait"])):
        client.acl_setuser(name, enabled=True, nopass=True, keys=["*"], channels=["*"], commands=commands)
    url = servers.url.replace("://", "://noinfo:any@")
    with pytest.raises(AccessDenied, match=r"refuses INFO.*set replicas"):
        any_store(url, durability="replicated", **PATIENT).enqueue([new("a")])
    assert not servers.has(servers.master, "a")
    assert any_store(url, durability="replicated", replicas=2, **PATIENT).enqueue([new("a")]) == [True]
    with pytest.raises(AccessDenied, match=r"refuses WAIT.*\+wait"):
        any_store(servers.url.replace("://", "://nowait:any@"), durability="replicated", **PATIENT).enqueue([new("b")])
    with pytest.raises(AccessDenied, match="refuses INFO"):
        open_store(StoreSettings(url=url, durability="replicated", **PATIENT)).check()


def test_a_server_without_replicas_refuses_before_anything_is_enqueued(server_url: str, any_store: OpenStore) -> None:
    store = any_store(server_url, **PATIENT)
    for _ in range(2):
        with pytest.raises(ServerNotSupported, match="has no replicas"):
            store.enqueue([new("a", "replicated")])
    with redis.Redis.from_url(server_url) as client:
        assert not client.hexists(KEYS.messages, "a")
    settings = StoreSettings(url=server_url, durability="replicated", **PATIENT)
    with pytest.raises(ServerNotSupported, match="has no replicas"):
        open_store(settings).check()


def test_files_on_a_server_that_cannot(server_url: str, any_store: OpenStore, request: pytest.FixtureRequest) -> None:
    with redis.Redis.from_url(server_url) as client:
        why = "has appendonly off" if has_waitaof(client) else "has no WAITAOF"
    store = any_store(server_url, durability="aof", **PATIENT)
    with pytest.raises(ServerNotSupported, match=why):
        store.enqueue([new("a")])
    with pytest.raises(ServerNotSupported, match=why):
        open_store(StoreSettings(url=server_url, durability="aof", **PATIENT)).check()
    with redis.Redis.from_url(server_url) as client:
        assert not client.hexists(KEYS.messages, "a")


@pytest.mark.parametrize("fsync", ["everysec", "always"])
def test_files_of_the_master(any_store: OpenStore, fsync: str) -> None:
    with EmbeddedServer(extra_args=["--appendonly", "yes", "--appendfsync", fsync]) as server:
        with redis.Redis.from_url(server.url) as client:
            skip_without_waitaof(client)
        settings: dict[str, Any] = {"durability": "aof", **PATIENT}
        assert open_store(StoreSettings(url=server.url, **settings)).check() == []
        store = any_store(server.url, **settings)
        assert store.enqueue([new("a")]) == [True]
        assert store.enqueue([new(f"b{n}") for n in range(300)]) == [True] * 300
        server.kill()
        server.start()
        assert any_store(server.url, **settings).enqueue([new("a"), new("b299"), new("c")]) == [False, False, True]


def test_files_that_are_never_written_to_the_disk(any_store: OpenStore) -> None:
    with EmbeddedServer(extra_args=["--appendonly", "yes", "--appendfsync", "no"]) as server:
        with redis.Redis.from_url(server.url) as client:
            skip_without_waitaof(client)
        store = any_store(server.url, durability="aof", **HASTY)
        with pytest.raises(NotDurable, match="the master has not written it to its file") as raised:
            store.enqueue([new("a")])
        assert raised.value.fsynced is False
        assert (raised.value.acknowledged, raised.value.replicas) == (0, 0)


@pytest.mark.slow
def test_files_of_replicas_count_too(any_store: OpenStore) -> None:
    with Replicated("valkey") as servers:
        skip_without_waitaof(servers.client(servers.master))
        for server in (servers.master, servers.replicas[0]):
            servers.client(server).config_set("appendonly", "yes")
        with pytest.raises(NotDurable, match="1 of 2 replicas have it in their files") as raised:
            any_store(servers.url, durability="aof", **HASTY | {"durability_timeout_s": 5.0}).enqueue([new("a")])
        assert raised.value.fsynced
        assert any_store(servers.url, durability="aof", replicas=0, **PATIENT).enqueue([new("a")]) == [False]
        servers.client(servers.replicas[1]).config_set("appendonly", "yes")
        assert any_store(servers.url, durability="aof", **PATIENT).enqueue([new("a")]) == [False]


def test_in_memory_it_has_no_effect() -> None:
    app = StreamTasks("memory://durability", durability="replicated")
    add = app.task(name="add", durability="aof")(lambda a, b: a + b)
    assert add.enqueue(1, 2).id
    assert add.apply_async((1, 2), durability="replicated").id
    assert group(add.s(1, 2)).apply_async(durability="aof").ids


def test_wrong_values() -> None:
    wrong: list[tuple[str, Any]] = [
        ("durability", "disk"),
        ("durability", None),
        ("durability_timeout_s", 0),
        ("replicas", -1),
    ]
    for name, value in wrong:
        with pytest.raises(ConfigurationError, match=name):
            StoreSettings(**{name: value})
    app = StreamTasks("memory://durability")
    add = app.task(name="add")(lambda a, b: a + b)
    level: Any = "disk"
    said = "durability is 'disk'; it must be one of 'memory', 'replicated', 'aof'"
    with pytest.raises(InvalidTask, match=said):
        add.apply_async((1, 2), durability=level)
    with pytest.raises(InvalidTask, match=said):
        add.using(durability=level)
    with pytest.raises(InvalidTask, match="a link is written with the outcome"):
        add.apply_async((1, 2), link=add.s(3).set(durability="aof"))
