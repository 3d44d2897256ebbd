"""How many replicas must acknowledge around a failover."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streamtasks import StoreSettings
from streamtasks.stores.redis import replica_count
from streamtasks.stores.redis.nodes import Node
from streamtasks.stores.redis.replica_count import ReplicaCount, replica_nodes

SETTINGS = StoreSettings()


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A master with two replicas by its Sentinels."""
    made = SimpleNamespace(changes=3, search=SimpleNamespace(replicas=2, away=0))
    monkeypatch.setattr(replica_count, "endpoint_of", lambda _: made)
    return made


@pytest.fixture
def count() -> ReplicaCount:
    made = ReplicaCount()
    made.learn(2, 0.0, 3)
    return made


def test_all_of_them(endpoint: Any, count: ReplicaCount) -> None:
    assert count.needed(SETTINGS) == count.needed(SETTINGS, endpoint.changes) == 2


def test_one_that_is_away_counts_as_long_as_the_master_has_it(endpoint: Any, count: ReplicaCount) -> None:
    endpoint.search.away = 1
    assert count.needed(SETTINGS) == 2
    count.learn(1, 0.0, 3)
    assert count.needed(SETTINGS) == 1


def test_what_the_master_before_said_does_not_count(endpoint: Any, count: ReplicaCount) -> None:
    endpoint.changes, endpoint.search.away = 4, 1
    assert count.needed(SETTINGS) == 1
    count.learn(2, 0.0, 4)
    assert count.needed(SETTINGS) == 2, "the old master is back"


def test_what_was_sent_to_the_master_before_needs_all(endpoint: Any, count: ReplicaCount) -> None:
    """Those that are away are replicas of another server. -1: another one was found while it was connected to."""
    endpoint.changes, endpoint.search.away = 4, 1
    assert count.needed(SETTINGS, 3) == count.needed(SETTINGS, -1) == 2


def test_whoever_may_not_ask_the_master_waits_for_all(endpoint: Any) -> None:
    """Of one that is away by the Sentinels' word only the master says that it is not connected."""
    endpoint.search.away = 1
    assert ReplicaCount().needed(SETTINGS) == 2


def test_replicas_that_follow() -> None:
    info = (
        b"role:master\r\nconnected_slaves:3\r\nslave0:ip=127.0.0.1,port=7001,state=online,offset=9,lag=0\r\n"
        b"slave1:ip=127.0.0.1,port=7002,state=wait_bgsave,offset=0,lag=0\r\nslave2:ip=::1,port=7003,state=online\r\n"
    )
    assert replica_nodes(info) == {Node("127.0.0.1", 7001), Node("::1", 7003)}


def test_one_at_least(endpoint: Any, count: ReplicaCount) -> None:
    endpoint.changes, endpoint.search.away = 4, 2
    assert count.needed(SETTINGS) == 1
