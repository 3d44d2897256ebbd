"""RedisClusterBackend: its OPTIONS, and tasks on a real Cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.checks import run_checks
from django.tasks import task_backends
from django.test import override_settings

from streamtasks import ConfigurationError
from streamtasks.protocol.shards import ALL_TAGS
from streamtasks.stores.redis.nodes import Node, master_settings, start_nodes
from streamtasks_django.conf.cluster_options import cluster_server
from streamtasks_django.conf.options import store_settings
from tests.docs.test_pages import page_block
from tests.support.django_site import DjangoWorker

if TYPE_CHECKING:
    from pathlib import Path

BACKEND = "streamtasks_django.backends.redis.RedisClusterBackend"
NODES = [{"host": "redis1", "port": 7000}, {"host": "redis2"}]


def read(options: dict[str, Any]) -> Any:
    return store_settings("default", options, cluster_server)


def test_the_documented_options() -> None:
    settings = read({"startup_nodes": NODES, "key_prefix": "tasks:"})
    assert (settings.tags, settings.key_prefix) == (ALL_TAGS, "tasks:")
    assert start_nodes(settings) == (Node("redis1", 7000), Node("redis2", 6379))
    assert read({"startup_nodes": NODES, "shards": 64}).tags == ALL_TAGS
    for nodes in (["redis1:7000", "redis2"], [("redis1", 7000), ("redis2", "6379")]):
        assert start_nodes(read({"startup_nodes": nodes})) == start_nodes(settings)


def test_user_and_password_hold_for_every_node() -> None:
    settings = read({"startup_nodes": NODES, "connection": {"username": "me", "password": "s", "ssl": True}})
    master = master_settings(settings, Node("redis7", 7001))
    assert (master.url, master.is_cluster) == ("redis://redis7:7001/0", False)
    assert master.connection == settings.connection
    assert master.connection["password"] == "s"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, "startup_nodes is None"),
        ({"startup_nodes": []}, "must be a list"),
        ({"startup_nodes": "redis1"}, "must be a list"),
        ({"startup_nodes": [{"host": "redis1", "prot": 1}]}, r"startup_nodes\[0\]"),
        ({"startup_nodes": ["redis1", ("redis2", "x")]}, r"startup_nodes\[1\]"),
        ({"startup_nodes": ["redis1:0"]}, r"startup_nodes\[0\] is 'redis1:0'"),
        ({"startup_nodes": NODES, "url": "redis://redis1"}, "url is given"),
        ({"startup_nodes": NODES, "connection": {"host": "redis1"}}, "connection has 'host'"),
        ({"startup_nodes": NODES, "connection": {"db": 1}}, "connection has 'db'"),
        ({"startup_nodes": NODES, "shards": 65}, "shards is 65; it must be a whole number from 1 to 64"),
    ],
    ids=str,
)
def test_wrong_options(options: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigurationError, match=error):
        read(options)


def test_the_checks_know_the_options() -> None:
    def ids(backend: str, **options: Any) -> list[str]:
        with override_settings(TASKS={"default": {"BACKEND": backend, "OPTIONS": options}}):
            return [str(m.id) for m in run_checks() if str(m.id).startswith("streamtasks.")]

    assert ids(BACKEND, startup_nodes=NODES, shards=64) == []
    assert ids(BACKEND, startup_nodes=NODES, startup_node=1) == ["streamtasks.W001"]
    assert "streamtasks.E001" in ids(BACKEND)
    assert "streamtasks.E001" in ids("streamtasks_django.backends.redis.RedisBackend", startup_nodes=NODES)


def test_the_examples_in_the_documentation() -> None:
    names: dict[str, Any] = {}
    for file in ("mysite/settings.py", "sums.py"):
        exec(page_block("servers.md", f"{file}: a Cluster with 16 shards"), names)
    with override_settings(TASKS=names["TASKS"]):
        assert [one for one in run_checks(tags=["tasks"]) if str(one.id).startswith("streamtasks.")] == []
        backend: Any = task_backends["default"]
        found = [backend.store_settings, names["app"].settings]
    assert [(one.tags, one.key_prefix, start_nodes(one)) for one in found] == [
        (ALL_TAGS[:16], "streamtasks:", (Node("redis1.example.com", 6379), Node("redis2.example.com", 6379)))
    ] * 2


@pytest.mark.topology
def test_tasks_are_enqueued_and_read(cluster_url: str) -> None:
    from contract.app.tasks import add

    nodes = [cluster_url.removeprefix("redis://").removesuffix("/0")]
    with override_settings(TASKS={"default": {"BACKEND": BACKEND, "OPTIONS": {"startup_nodes": nodes}}}):
        results = [add.enqueue(n, 1) for n in range(40)]
        backend = task_backends["default"]
        assert [backend.get_result(result.id).args for result in results] == [[n, 1] for n in range(40)]
        assert len({result.id.rpartition("-")[2] for result in results}) >= 10, "four in a row on each shard"


@pytest.mark.topology
@pytest.mark.parametrize("executor", [(), ("--threads", "2")], ids=str)
def test_a_running_worker_serves_shards_that_are_added(
    cluster_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executor: tuple[str, ...]
) -> None:
    """And its tasks enqueue to them, on whichever thread they run."""
    from contract.app.tasks import add, enqueue_adds
    from contract.options import CLUSTER, SHARDS, tasks_setting

    monkeypatch.setenv(CLUSTER, "1")
    monkeypatch.setenv(SHARDS, "4")
    prefix = f"growing{len(executor)}:"  # this process notes the shards of a prefix once
    options = ("--concurrency", "2", "--backend", "default", *executor)
    with DjangoWorker(tmp_path, cluster_url, prefix, *options, **{CLUSTER: "1", SHARDS: "4"}) as worker:
        with override_settings(TASKS=tasks_setting(cluster_url, prefix)):
            before = [add.enqueue(n, 1) for n in range(8)]
            assert [worker.finish(result).return_value for result in before] == [n + 1 for n in range(8)]
        monkeypatch.setenv(SHARDS, "16")
        with override_settings(TASKS=tasks_setting(cluster_url, prefix)):
            after = [add.enqueue(n, 1) for n in range(64)]
            assert {result.id.rpartition("-")[2] for result in after} == set(ALL_TAGS[:16])
            assert [worker.finish(result).return_value for result in after] == [n + 1 for n in range(64)]
            assert "the shards of default are 16 now" in worker.logged()
            assert add.get_result(before[0].id).return_value == 1
            found: list[str] = worker.finish(enqueue_adds.enqueue(64)).return_value
            assert {one.rpartition("-")[2] for one in found} == set(ALL_TAGS[:16])
            assert [worker.finish(add.get_result(one)).return_value for one in found] == [n + 1 for n in range(64)]
        assert worker.stop() == 0
        assert "ConfigurationError" not in worker.logged()
