"""Users with the least privilege on servers with their Sentinels, and in a Cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streamtasks import StoreSettings
from streamtasks.exceptions import AccessDenied
from streamtasks.stores.factory import open_store
from streamtasks.stores.redis import access
from streamtasks.stores.redis.access import UserRole
from streamtasks.stores.types import NewMessage
from tests.support.manual_consumer import Consumer
from tests.support.sentinel_trio import SentinelTrio
from tests.support.servers import Cluster, server_kinds
from tests.support.users import PASSWORD, create_users, restore_users, server_version

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.topology


@pytest.mark.parametrize("kind", server_kinds())
def test_a_failover_as_users_with_the_least_privilege(kind: str) -> None:
    with SentinelTrio(kind) as trio:
        for server in trio.servers:
            create_users(server.url)
        for sentinel in trio.sentinels:
            client = trio.client(sentinel)
            words = access.sentinel_rules(server_version(client))
            client.execute_command("ACL", "SETUSER", "watcher", "on", f">{PASSWORD}", *words)
            client.execute_command("ACL", "SETUSER", "blind", "on", f">{PASSWORD}", "-@all")
        of_servers = {"username": "producer", "password": PASSWORD}
        settings = StoreSettings(
            url=trio.url,
            connection=of_servers,
            sentinel_connection={"username": "watcher", "password": PASSWORD},
            timeout_s=60.0,
            enqueue_timeout_s=60.0,
            durability_timeout_s=60.0,
        )
        store = open_store(settings)
        assert not [one for one in store.check() if one.startswith("Sentinel")]
        assert store.enqueue([NewMessage("a", "default", 0, b"{}", durability="replicated")]) == [True]
        trio.fail_over()
        assert store.enqueue([NewMessage("b", "default", 0, b"{}")]) == [True]
        assert store.enqueue([NewMessage("a", "default", 0, b"{}")]) == [False]
        blind = StoreSettings(
            url=trio.url, connection=of_servers, sentinel_connection={"username": "blind", "password": PASSWORD}
        )
        with pytest.raises(AccessDenied, match="sentinel_connection"):
            open_store(blind).enqueue([NewMessage("c", "default", 0, b"{}")])


@pytest.fixture
def with_users(cluster: Cluster) -> Iterator[Cluster]:
    """An empty Cluster that has a user for each role."""
    cluster.flush()
    for node in cluster.nodes:
        create_users(node.url)
    yield cluster
    for node in cluster.nodes:
        restore_users(node.url)


def test_a_cluster_as_users_with_the_least_privilege(with_users: Cluster) -> None:
    cluster = with_users
    url = cluster.url.replace("redis://", "redis+cluster://").removesuffix("/0")
    producer, worker = (
        open_store(
            StoreSettings(
                url=url,
                connection={"username": role.name.lower(), "password": PASSWORD},
                timeout_s=60.0,
                enqueue_timeout_s=60.0,
            )
        )
        for role in (UserRole.PRODUCER, UserRole.WORKER)
    )
    ids = [f"{number}-{tag}" for tag in producer.tags for number in range(3)]
    assert producer.enqueue([NewMessage(one, "default", 0, b"{}") for one in ids]) == [True] * len(ids)
    done: list[str] = []
    for tag in worker.tags:
        with Consumer(worker, f"child-{tag}", tag) as child:
            done += child.succeed()
    assert sorted(done) == sorted(ids)
    assert len(producer.wait_finished(ids, 60)) == len(ids)
