"""Durability of a backend, of a task and of one call, on a server that never writes its file to the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from django.core.checks import run_checks
from django.tasks import task_backends
from django.test import override_settings

from contract.app import tasks
from streamtasks import group
from streamtasks.protocol.keys import Keys
from streamtasks_django.exceptions import InvalidTask, NotDurable
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.servers import has_waitaof, skip_without_waitaof

BACKEND = "streamtasks_django.backends.redis.RedisBackend"
KEYS = Keys("streamtasks:", "u0")
add: Any = tasks.add


def _backend() -> Any:
    return task_backends["default"]


@pytest.fixture(scope="module")
def server_without_fsync() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(extra_args=["--appendonly", "yes", "--appendfsync", "no"]) as server:
        with redis.Redis.from_url(server.url) as client:
            skip_without_waitaof(client)
        yield server


def options(server: EmbeddedServer, **more: Any) -> override_settings:
    given = {"url": server.url, "durability_timeout": 0.2, "timeout": 60, "enqueue_timeout": 60, **more}
    return override_settings(TASKS={"default": {"BACKEND": BACKEND, "OPTIONS": given}})


WAYS: dict[str, Callable[[], Any]] = {
    "call": lambda: add.apply_async((1, 2), durability="aof"),
    "task": lambda: add.using(durability="aof").enqueue(1, 2),
    "signature": lambda: add.s(1, 2).set(durability="aof").apply_async(),
    "workflow": lambda: group(add.s(1, 2), add.s(3, 4)).apply_async(durability="aof"),
    "many": lambda: _backend().enqueue_many([(add, (1, 2), {}), (add.using(durability="aof"), (1, 2), {})]),
}


@pytest.mark.parametrize("way", WAYS)
def test_where_it_is_asked_for(server_without_fsync: EmbeddedServer, way: str) -> None:
    with options(server_without_fsync):
        assert add.enqueue(1, 2).id
        with pytest.raises(NotDurable, match="the master has not written it to its file"):
            WAYS[way]()


async def test_of_a_backend(server_without_fsync: EmbeddedServer) -> None:
    with options(server_without_fsync, durability="aof"):
        with pytest.raises(NotDurable) as raised:
            await add.aenqueue(1, 2)
        with pytest.raises(NotDurable):
            add.delay(1, 2)
        assert add.apply_async((1, 2), durability="memory").id
        assert add.using(durability="memory").enqueue(1, 2).id
        again = add.using(durability="memory").apply_async((1, 2), task_id=raised.value.task_id)
    assert again.id == raised.value.task_id
    with redis.Redis.from_url(server_without_fsync.url) as client:
        assert client.hexists(KEYS.messages, again.id)


def test_the_deployment_check_refuses_what_a_server_cannot_give(embedded_url: str) -> None:
    with redis.Redis.from_url(embedded_url) as client:
        of_files = "has appendonly off" if has_waitaof(client) else "has no WAITAOF"
    for level, why in (("replicated", "has no replicas"), ("aof", of_files)):
        given = {"url": embedded_url, "durability": level}
        with override_settings(TASKS={"default": {"BACKEND": BACKEND, "OPTIONS": given}}):
            [found] = [one for one in run_checks(include_deployment_checks=True) if why in one.msg and one.is_serious()]
        assert str(found.id).startswith("streamtasks.E")


def test_wrong_values(server_without_fsync: EmbeddedServer) -> None:
    level: Any = "disk"
    with options(server_without_fsync):
        with pytest.raises(InvalidTask, match="durability is 'disk'"):
            add.apply_async((1, 2), durability=level)
        with pytest.raises(InvalidTask, match="durability is 'disk'"):
            add.using(durability=level)
    with options(server_without_fsync, durability="disk"):
        found = [one for one in run_checks() if one.id == "streamtasks.E001"]
    assert "durability is 'disk'" in found[0].msg


def test_in_memory_calls_may_ask_for_it() -> None:
    backend = "streamtasks_django.backends.memory.MemoryBackend"
    with override_settings(TASKS={"default": {"BACKEND": backend, "OPTIONS": {"autostart": False}}}):
        assert add.apply_async((1, 2), durability="replicated").id
        assert add.using(durability="aof").enqueue(1, 2).id
