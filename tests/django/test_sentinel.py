"""A backend whose master Sentinels know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import redis
from django.core.checks import run_checks
from django.tasks import task_backends
from django.test import override_settings

from contract.app.tasks import add
from streamtasks.protocol.keys import Keys
from streamtasks.stores.redis import connections
from streamtasks.stores.redis.addresses import connection_options, sentinel_address
from streamtasks_django.backends.base import StoreBackend
from tests.docs.test_pages import page_block
from tests.support.fake_sentinel import FakeSentinel

BACKEND = "streamtasks_django.backends.redis.RedisSentinelBackend"


@pytest.fixture
def sentinels(embedded_url: str) -> Iterator[list[FakeSentinel]]:
    port = redis.Redis.from_url(embedded_url).connection_pool.connection_kwargs["port"]
    with ExitStack() as stack:
        yield [stack.enter_context(FakeSentinel(port)) for _ in range(3)]


def settings_for(sentinels: list[FakeSentinel], **options: Any) -> override_settings:
    given = {
        "sentinels": [("127.0.0.1", sentinel.port) for sentinel in sentinels],
        "service_name": "main",
        "key_prefix": "tasks:",
    }
    return override_settings(TASKS={"default": {"BACKEND": BACKEND, "OPTIONS": given | options}})


async def test_tasks_go_to_the_master(sentinels: list[FakeSentinel], embedded_url: str) -> None:
    with settings_for(sentinels, timeout=60, enqueue_timeout=60):
        results = [await add.aenqueue(1, 2)]
        results.append(await add.using(priority=3).aenqueue(1, 2))
    with redis.Redis.from_url(embedded_url) as client:
        assert all(client.hexists(Keys("tasks:", "u0").messages, result.id) for result in results)


def test_the_deployment_check_asks_the_master_and_every_sentinel(sentinels: list[FakeSentinel]) -> None:
    sentinels[2].password = "other"

    def messages() -> list[tuple[str, str]]:
        found = run_checks(tags=["streamtasks"], include_deployment_checks=True)
        return [(str(one.id), one.msg) for one in found if str(one.id).startswith("streamtasks.")]

    with settings_for(sentinels, timeout=60):
        (first, of_sentinel), (second, of_server) = messages()
    assert (first, second) == ("streamtasks.W009", "streamtasks.W009")
    assert f"Sentinel 127.0.0.1:{sentinels[2].port} is of no use now" in of_sentinel
    assert f"127.0.0.1:{sentinels[0].master}, master of 'main'" in of_server
    with settings_for(sentinels, service_name="mian"):
        [(kind, text)] = messages()
    assert kind == "streamtasks.E007"
    assert "does not know the service 'mian'; known there: 'main'" in text


def test_the_options_of_servers_and_of_sentinels_are_apart() -> None:
    params = {
        "BACKEND": BACKEND,
        "OPTIONS": {
            "sentinels": [{"host": "s1"}, "s2:26380", ("::1", "7")],
            "service_name": "my service",
            "connection": {"username": "app", "password": "p@ss", "db": "2", "ssl": True, "ssl_ca_certs": "/ca.pem"},
            "sentinel_connection": {"username": "watcher", "password": "hers"},
        },
    }
    with override_settings(TASKS={"default": params}):
        backend = task_backends["default"]
        assert isinstance(backend, StoreBackend)
        settings = backend.store_settings
    address, options = sentinel_address(settings), connection_options(settings)
    assert [str(node) for node in address.sentinels] == ["s1:26379", "s2:26380", "[::1]:7"]
    assert address.service == "my service"
    assert (options["username"], options["password"], options["db"]) == ("app", "p@ss", 2)
    assert (address.options["username"], address.options["password"]) == ("watcher", "hers")
    assert options["connection_class"] is address.options["connection_class"] is redis.SSLConnection
    assert options["ssl_ca_certs"] == address.options["ssl_ca_certs"] == "/ca.pem"
    assert "hers" not in repr(settings)
    assert "p@ss" not in repr(settings)


@pytest.mark.parametrize("kind", ["one server", "Sentinels"])
def test_the_examples_in_the_documentation(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_PASSWORD", "SENTINEL_PASSWORD"):
        monkeypatch.setenv(name, "x")
    names: dict[str, Any] = {}
    exec(page_block("servers.md", f"mysite/settings.py: {kind}"), names)
    exec(page_block("servers.md", f"sums.py: {kind}"), names)
    with override_settings(TASKS=names["TASKS"]):
        assert [one for one in run_checks(tags=["tasks"]) if str(one.id).startswith("streamtasks.")] == []
        backend = task_backends["default"]
        assert isinstance(backend, StoreBackend)
        found = [connections.address(settings) for settings in (backend.store_settings, names["app"].settings)]
    assert found[0] == found[1]
