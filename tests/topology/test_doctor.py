"""The doctor asks every master of a Cluster, about the shards that it serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis

from streamtasks import StreamTasks
from streamtasks.operations.doctor import Finding, Level, diagnose
from streamtasks.protocol.shards import ALL_TAGS
from tests.support.unreachable import closed_port

if TYPE_CHECKING:
    from tests.support.servers import Cluster

pytestmark = pytest.mark.topology


@pytest.fixture
def url(cluster_url: str) -> str:
    return cluster_url.replace("redis://", "redis+cluster://").removesuffix("/0")


def found(url: str, check: str, **settings: Any) -> list[Finding]:
    app = StreamTasks(url, timeout_s=60.0, **settings)
    return [finding for finding in diagnose(app).findings if finding.check == check]


def test_every_master_is_asked(url: str) -> None:
    diagnosis = diagnose(StreamTasks(url, timeout_s=60.0))
    assert [finding for finding in diagnosis.findings if finding.level == Level.ERROR] == []
    servers = {finding.where for finding in diagnosis.findings if finding.check == "version"}
    assert len(servers) == 3
    [tags] = [finding for finding in diagnosis.findings if finding.check == "tags"]
    assert (tags.level, sorted(tag for own in tags.values["servers"].values() for tag in own)) == (
        Level.OK, sorted(ALL_TAGS),
    )  # fmt: skip
    assert set(tags.values["servers"]) == servers


def test_one_master_that_evicts_is_named(url: str, cluster_url: str) -> None:
    with redis.Redis.from_url(cluster_url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            errors = [finding for finding in found(url, "eviction") if finding.level == Level.ERROR]
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert [finding.where for finding in errors] == [cluster_url.removeprefix("redis://").removesuffix("/0")]


def test_work_of_all_shards_is_counted(url: str) -> None:
    app = StreamTasks(url, timeout_s=60.0)
    add = app.task(name="shop.add")(print)
    add.enqueue_many([(number,) for number in range(64)])
    [workers] = found(url, "workers")
    [queue] = found(url, "queues")
    assert (workers.level, workers.values["unfinished"]) == (Level.WARNING, 64)
    assert (queue.where, queue.values["messages"]) == ("default", 64)


def test_shards_that_are_spread_unevenly(url: str) -> None:
    app = StreamTasks(url, timeout_s=60.0, tags=ALL_TAGS[:2], key_prefix="uneven:")
    [tags] = [finding for finding in diagnose(app).findings if finding.check == "tags"]
    assert (tags.level, "spread unevenly" in tags.message) == (Level.WARNING, True)
    assert sorted(len(own) for own in tags.values["servers"].values()) == [0, 0, 2]


def test_a_list_of_shards_that_disagrees(url: str) -> None:
    StreamTasks(url, shards=16).task(name="shop.add")(print).enqueue()
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "set shards=16 to keep them"),
        ({"tags": ALL_TAGS[:4]}, "give these (shards=16)"),
    ]
    for settings, remedy in wrong:
        diagnosis = diagnose(StreamTasks(url, timeout_s=60.0, **settings))
        [tags] = [finding for finding in diagnosis.findings if finding.check == "tags"]
        assert (tags.level, remedy in tags.message) == (Level.ERROR, True), tags
    assert found(url, "tags", shards=16)[0].level == Level.OK


def test_a_node_as_a_single_server(cluster: Cluster, url: str) -> None:
    [elsewhere] = [node for node in cluster.nodes if cluster.tags_at(node, ("u0",))]
    other = next(node for node in cluster.nodes if node is not elsewhere)
    diagnosis = diagnose(StreamTasks(other.url, timeout_s=60.0))
    errors = {finding.check: finding for finding in diagnosis.findings if finding.level == Level.ERROR}
    assert set(errors) == {"role", "writes"}
    for finding in errors.values():
        assert f"is at 127.0.0.1:{elsewhere.port}" in finding.message
    assert "redis+cluster://" in errors["role"].remedy


def test_no_node_answers() -> None:
    with closed_port() as away:
        diagnosis = diagnose(StreamTasks(away.replace("redis://", "redis+cluster://").removesuffix("/0")))
    assert not diagnosis.connected
