"""Operators of a Cluster: pauses, pages and dead letters of all shards."""

from __future__ import annotations

import pytest

from streamtasks import StoreSettings
from streamtasks.protocol.shards import new_id
from streamtasks.stores.factory import open_store
from tests.core.test_steering import new, walk
from tests.support.fleet import Fleet
from tests.support.manual_consumer import Consumer, outcome_of

pytestmark = pytest.mark.topology


@pytest.fixture
def url(cluster_url: str) -> str:
    return cluster_url.replace("redis://", "redis+cluster://").removesuffix("/0")


def test_pages_and_dead_letters_of_all_shards(url: str) -> None:
    store = open_store(StoreSettings(url=url, timeout_s=60.0, enqueue_timeout_s=60.0))
    ids = [new_id((tag,)) for tag in store.tags]
    store.enqueue([new(one) for one in ids])
    assert sorted(walk(store, "queued", 7)) == sorted(ids)
    store.pause("", "ann", "")
    assert [pause.is_whole for pause in store.pauses()] == [True]
    store.resume("")
    for number, tag in enumerate(store.tags):
        with Consumer(store, f"w-{number}", tag) as child:
            child.settle(*(outcome_of(one, "DEAD", b"{}")._replace(note="crashed") for one in child.claim()))
    letters = store.dead_letters()
    assert store.discard_dead_letters(letters[1:]) == len(ids) - 1
    assert store.dead_letters() == letters[:1]


def test_a_resumed_queue_wakes_workers(url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    fleet = Fleet(url, tmp_path_factory.mktemp("fleet"))
    try:
        fleet.start("--concurrency", "1")
        store = fleet.app.store
        store.pause("default", "ann", "")
        waiting = fleet.many("add", [(number, 1) for number in range(40)])
        assert fleet.enqueue("add", 3, 3, queue="other").get(timeout=60) == 6
        assert {one.state for one in waiting} == {"QUEUED"}
        store.resume("default")
        assert [one.get(timeout=60) for one in waiting] == list(range(1, 41))
    finally:
        fleet.close()
