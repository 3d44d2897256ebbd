"""How many replicas must acknowledge around a failover."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streamtasks import StoreSettings
from streamtasks.stores.redis import replica_count
from streamtasks.stores.redis.replica_count import ReplicaCount

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


def test_one_at_least(endpoint: Any, count: ReplicaCount) -> None:
    endpoint.changes, endpoint.search.away = 4, 2
    assert count.needed(SETTINGS) == 1
