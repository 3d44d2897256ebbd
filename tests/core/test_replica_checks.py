"""What is wrong with replicas that may become the master, before a deployment; what a worker that starts may not do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from streamtasks import StoreSettings
from streamtasks.stores.factory import open_store
from streamtasks.stores.redis.access import UserRole
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.fake_sentinel import FakeSentinel
from tests.support.users import as_user
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[EmbeddedServer, EmbeddedServer]]:
    with EmbeddedServer(append_only=True) as master, EmbeddedServer(append_only=True) as replica:
        with redis.Redis.from_url(replica.url) as client:
            client.replicaof("127.0.0.1", str(master.port))
        yield master, replica


@pytest.fixture
def replica(servers: tuple[EmbeddedServer, EmbeddedServer]) -> Iterator[redis.Redis]:
    """A client of a replica that is set up as its master is."""
    with redis.Redis.from_url(servers[1].url) as client, redis.Redis.from_url(servers[0].url) as master:
        wait_until(lambda: master.info("replication").get("slave0", {}).get("state") == "online", "it follows")
        yield client
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "0")
        client.config_set("appendonly", "yes")


def found(servers: tuple[EmbeddedServer, EmbeddedServer], **connection: Any) -> list[str]:
    """What is said of replicas."""
    with FakeSentinel(servers[0].port) as sentinel:
        settings = StoreSettings(url=f"redis+sentinel://127.0.0.1:{sentinel.port}/main", connection=connection)
        lines = open_store(settings).check(before_deploy=True)
        assert not [line for line in open_store(settings).check() if "replica" in line]  # a worker does not ask
    return [line for line in lines if line.startswith(f"replica 127.0.0.1:{servers[1].port} of 127.0.0.1:")]


def test_one_that_is_as_its_master_is(servers: tuple[EmbeddedServer, EmbeddedServer], replica: redis.Redis) -> None:
    assert found(servers) == []


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        (
            "maxmemory-policy",
            "allkeys-lru",
            "has maxmemory-policy 'allkeys-lru': as the master it may throw tasks away",
        ),
        ("maxmemory", "100mb", "has maxmemory 104857600, its master no limit"),
        ("appendonly", "no", "has appendonly off, unlike its master"),
    ],
)
def test_one_that_is_set_up_otherwise(
    servers: tuple[EmbeddedServer, EmbeddedServer], replica: redis.Redis, option: str, value: str, text: str
) -> None:
    replica.config_set(option, value)
    [line] = found(servers)
    assert text in line


def test_one_that_does_not_know_our_user(servers: tuple[EmbeddedServer, EmbeddedServer], replica: redis.Redis) -> None:
    with redis.Redis.from_url(servers[0].url) as master:
        master.acl_setuser("app", enabled=True, passwords=["+secret"], commands=["+@all"], keys=["*"], channels=["*"])
    [line] = found(servers, username="app", password="secret")
    assert "refuses us" in line
    assert "users are not replicated" in line
    assert "secret" not in line


def test_one_that_is_away(servers: tuple[EmbeddedServer, EmbeddedServer], replica: redis.Redis) -> None:
    replica.config_set("replica-announce-port", "1")
    with redis.Redis.from_url(servers[0].url) as master:
        replica.execute_command("REPLICAOF", "NO", "ONE")
        replica.replicaof("127.0.0.1", str(servers[0].port))
        wait_until(lambda: master.info("replication").get("slave0", {}).get("port") == 1, "it is announced")
        with FakeSentinel(servers[0].port) as sentinel:
            settings = StoreSettings(url=f"redis+sentinel://127.0.0.1:{sentinel.port}/main")
            lines = open_store(settings).check(before_deploy=True)
    assert [line for line in lines if line.startswith("replica 127.0.0.1:1 of ") and "cannot be reached" in line]


@pytest.mark.usefixtures("admin")
def test_a_worker_is_told_what_its_user_lacks(server_url: str) -> None:
    as_producer = open_store(StoreSettings(url=as_user(server_url, UserRole.PRODUCER)))
    [line] = [line for line in as_producer.check() if "may not do what a worker does" in line]
    assert "streamtasks:{*" in line
    assert "BLPOP" in line
    assert "streamtasks acl --role worker --prefix 'streamtasks:'" in line
    assert not [line for line in as_producer.check(before_deploy=True) if "worker does" in line]
    as_worker = open_store(StoreSettings(url=as_user(server_url, UserRole.WORKER)))
    assert not [line for line in as_worker.check() if "worker does" in line]
