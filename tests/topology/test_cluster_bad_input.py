"""What can be wrong with a Cluster or its settings: each is one error that names the address and the remedy."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import redis

from streamtasks import AccessDenied, StoreSettings
from streamtasks.exceptions import ConfigurationError
from streamtasks.protocol.shards import ALL_TAGS, new_id
from streamtasks.stores.factory import open_async_store, open_store
from tests.core.test_store import new
from tests.support.servers import Cluster
from tests.support.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.topology


@pytest.fixture
def url(cluster_url: str) -> str:
    return cluster_url.replace("redis://", "redis+cluster://").removesuffix("/0")


@pytest.fixture
def locked(cluster: Cluster) -> Iterator[Cluster]:
    """A Cluster whose second node wants a password."""
    with redis.Redis(port=cluster.nodes[1].port) as client:
        client.config_set("requirepass", "secret")
        client.client_kill_filter(_type="normal", skipme=True)  # connections of before need no password
        yield cluster
        client.config_set("requirepass", "")


def test_a_password_that_one_node_does_not_take(url: str, locked: Cluster) -> None:
    settings = StoreSettings(url=url, timeout_s=DEADLINE_S, enqueue_timeout_s=DEADLINE_S)
    store, node = open_store(settings), f"127.0.0.1:{locked.nodes[1].port}"
    there = locked.tags_at(locked.nodes[1], ALL_TAGS)
    message = rf"{node} \(a node of redis\+cluster://.*\) refuses us: .*Check user, password and ACL"
    for _ in range(5):
        with pytest.raises(AccessDenied, match=message):
            store.enqueue([new(new_id(there))])
    with pytest.raises(AccessDenied, match=message):
        asyncio.run(open_async_store(settings).enqueue([new(new_id(there))]))
    with pytest.raises(AccessDenied, match=rf"{node} .*refuses us: .*Check user, password and ACL"):
        store.check()


def test_a_password_that_no_node_takes(url: str) -> None:
    wrong = url.replace("://", "://app:wrong@")
    store = open_store(StoreSettings(url=wrong, timeout_s=DEADLINE_S, enqueue_timeout_s=DEADLINE_S))
    for call in (lambda: store.enqueue([new(new_id(ALL_TAGS))]), store.check):
        with pytest.raises(AccessDenied, match=r"127\.0\.0\.1:\d+ .*refuses us: .*Check user, password") as caught:
            call()
        assert "wrong" not in str(caught.value)


def test_a_list_of_shards_that_disagrees(url: str) -> None:
    open_store(StoreSettings(url=url)).enqueue([new(new_id(ALL_TAGS))])
    other: Any = open_store(StoreSettings(url=url, tags=ALL_TAGS[:4]))
    lists = (
        rf"tags are {', '.join(ALL_TAGS[:4])}, but .* at redis\+cluster://.* over {', '.join(ALL_TAGS)}: "
        r"give these \(shards=64\), in this order"
    )
    for call in (lambda: other.enqueue([new(new_id(ALL_TAGS[:4]))]), other.check):
        with pytest.raises(ConfigurationError, match=lists):
            call()


def test_a_replica_as_a_start_node() -> None:
    """It knows the masters, as any node does."""
    with Cluster(replicas=True) as cluster:
        store = open_store(StoreSettings(url=f"redis+cluster://127.0.0.1:{cluster.replicas[2].port}"))
        assert store.enqueue([new(new_id(ALL_TAGS)) for _ in range(16)]) == [True] * 16
        single = open_store(StoreSettings(url=cluster.replicas[0].url))
        assert any("is a replica" in warning and "name its master" in warning for warning in single.check())
