"""Durability levels in a Cluster: each master that is written to is waited for, with its own replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis

from streamtasks import StoreSettings
from streamtasks.exceptions import NotDurable
from streamtasks.protocol.keys import Keys
from streamtasks.protocol.shards import ALL_TAGS, new_id, tag_of
from tests.core.conftest import AnyStore
from tests.core.test_store import new
from tests.support.servers import Cluster, client_of
from tests.support.waiting import DEADLINE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streamtasks_workers.testing.embedded import EmbeddedServer

pytestmark = pytest.mark.topology

PATIENT: dict[str, Any] = {
    "timeout_s": DEADLINE_S,
    "enqueue_timeout_s": DEADLINE_S,
    "durability_timeout_s": DEADLINE_S,
}
HASTY: dict[str, Any] = PATIENT | {"durability_timeout_s": 0.5}
"""For what cannot succeed."""


@pytest.fixture(scope="module")
def _replicated() -> Iterator[Cluster]:
    with Cluster(replicas=True) as started:
        yield started


@pytest.fixture
def replicated(_replicated: Cluster) -> Iterator[Cluster]:
    yield _replicated
    for server in (*_replicated.nodes, *_replicated.replicas):
        server.resume()


@pytest.fixture(params=["sync", "async"])
def durable(request: pytest.FixtureRequest, replicated: Cluster) -> Iterator[Callable[..., AnyStore]]:
    """Make stores that want what they enqueue replicated."""
    made: list[AnyStore] = []

    def make(**settings: Any) -> AnyStore:
        url = replicated.url.replace("redis://", "redis+cluster://").removesuffix("/0")
        made.append(AnyStore(request.param, StoreSettings(url=url, durability="replicated", **settings)))
        return made[-1]

    yield make
    for store in made:
        store.close()


def pair(cluster: Cluster, place: int) -> tuple[EmbeddedServer, EmbeddedServer]:
    """Return the master and the replica of the same slots."""
    both = cluster.nodes[place], cluster.replicas[place]
    with client_of(both[0].url) as client:
        role: Any = client.info("replication")
    return both if role["role"] == "master" else (both[1], both[0])


def ids_of(cluster: Cluster, place: int) -> list[str]:
    """Return new ids whose shards one of the masters has."""
    tags = cluster.tags_at(pair(cluster, place)[0], ALL_TAGS)
    return [new_id(tags) for _ in range(32)]


def held(cluster: Cluster, place: int, ids: list[str]) -> list[bool]:
    """Return which of these messages a replica has."""
    with redis.Redis(port=pair(cluster, place)[1].port) as client:
        client.execute_command("READONLY")
        prefix = StoreSettings().key_prefix
        return [bool(client.hexists(Keys(prefix, tag_of(one, ALL_TAGS)).messages, one)) for one in ids]


def test_replicas_of_all_masters_have_what_was_enqueued(replicated: Cluster, durable: Callable[..., AnyStore]) -> None:
    store = durable(**PATIENT)
    by_place = [ids_of(replicated, place) for place in range(3)]
    ids = [one for some in by_place for one in some]
    assert store.enqueue([new(one) for one in ids]) == [True] * len(ids)
    assert [held(replicated, place, by_place[place]) for place in range(3)] == [[True] * 32] * 3
    assert store.enqueue([new(one) for one in ids]) == [False] * len(ids)


def test_a_master_whose_replica_is_silent_is_named(replicated: Cluster, durable: Callable[..., AnyStore]) -> None:
    store = durable(**HASTY)
    assert store.enqueue([new(new_id(ALL_TAGS)) for _ in range(64)]) == [True] * 64
    ids, others = ids_of(replicated, 1), ids_of(replicated, 0)
    master, replica = pair(replicated, 1)
    replica.pause()
    for _ in range(2):  # the second time all is known, and nothing but the touch is written
        with pytest.raises(NotDurable, match=rf"127\.0\.0\.1:{master.port}, .* 0 of 1 replicas have it"):
            store.enqueue([new(one) for one in [*ids, *others]])
    assert store.enqueue([new(one) for one in ids_of(replicated, 0)]) == [True] * 32
    replica.resume()
    wait_until(lambda: all(held(replicated, 1, ids)), "the replica has them")


def test_a_master_that_took_over_needs_a_replica_as_well(replicated: Cluster, durable: Callable[..., AnyStore]) -> None:
    store = durable(**HASTY)
    assert store.enqueue([new(new_id(ALL_TAGS)) for _ in range(64)]) == [True] * 64
    ids = ids_of(replicated, 2)
    master, replica = pair(replicated, 2)
    master.pause()
    with pytest.raises(NotDurable, match=rf"127\.0\.0\.1:{replica.port}, .* 0 of 1 replicas have it"):
        store.enqueue([new(one) for one in ids])
    master.resume()

    def takes() -> bool:
        try:
            return bool(store.enqueue([new(one) for one in ids]) == [False] * len(ids))
        except NotDurable:
            return False

    wait_until(takes, "the master of before has become the replica")
    assert all(held(replicated, 2, ids))
