"""Settings: what OPTIONS and STREAMTASKS mean, and what the system checks say of wrong ones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
import redis
import redis.asyncio
from django.core.checks import run_checks
from django.test import override_settings

from contract.notes import NoteMiddleware
from streamtasks.stores.redis import addresses
from streamtasks_django.conf import options as conf_options
from streamtasks_django.conf import project

BACKEND = "streamtasks_django.backends.redis.RedisBackend"


def messages_of(options: Any = None, *, deploy: bool = False, **params: Any) -> list[str]:
    """Return the ids of the check messages for one alias."""
    with override_settings(TASKS={"default": {"BACKEND": BACKEND, "OPTIONS": options or {}, **params}}):
        tags = ["streamtasks"] if deploy else None
        found = run_checks(tags=tags, include_deployment_checks=deploy)
        return [str(m.id) for m in found if str(m.id).startswith("streamtasks.")]


def where(options: Mapping[str, Any]) -> dict[str, Any]:
    return addresses.connection_options(conf_options.store_settings("default", options))


def test_a_server_can_be_named_in_three_ways() -> None:
    pool = redis.ConnectionPool.from_url("redis://me:secret@cache:7000/3")
    ways: list[dict[str, Any]] = [
        {"url": "redis://me:secret@cache:7000/3"},
        {"connection": {"host": "cache", "port": 7000, "db": 3, "username": "me", "password": "secret"}},
        {"connection": {"host": "cache", "port": "7000", "db": "3", "username": "me", "password": "secret"}},
        {"connection_pool": pool},
    ]
    for options in ways:
        found = where(options)
        assert [found[name] for name in ("host", "port", "db", "username", "password")] == [
            "cache",
            7000,
            3,
            "me",
            "secret",
        ]
    assert where({})["host"] == "127.0.0.1"


def test_tls_and_unix_sockets() -> None:
    assert where({"connection": {"host": "cache", "ssl": True}})["connection_class"] is redis.SSLConnection
    assert where({"connection_pool": redis.Redis(ssl=True).connection_pool})["connection_class"] is redis.SSLConnection
    assert where({"connection": {"unix_socket_path": "/run/redis.sock"}})["path"] == "/run/redis.sock"
    assert where({"url": "unix:///run/redis.sock"})["path"] == "/run/redis.sock"


def test_seconds_may_be_timedeltas() -> None:
    settings = conf_options.store_settings(
        "default", {"result_expires": timedelta(hours=1), "lease": 7, "timeout": 0.5, "enqueue_timeout": 0.2}
    )
    assert (settings.result_expires_s, settings.lease_s, settings.timeout_s) == (3600, 7, 0.5)
    assert settings.enqueue_retry_s == 0.2


def test_two_aliases_have_prefixes_that_never_meet() -> None:
    assert conf_options.store_settings("default", {}).key_prefix == "streamtasks:"
    assert conf_options.store_settings("other", {}).key_prefix == "streamtasks:other:"
    assert conf_options.store_settings("other", {"key_prefix": "django_tasks:"}).key_prefix == "django_tasks:"


WRONG: list[Any] = [
    {"url": "redis://a", "connection": {"host": "b"}},
    pytest.param({"url": "redis://a", "connection_pool": redis.ConnectionPool()}, id="url and pool"),
    {"url": "ftp://a"},
    {"url": 7},
    {"connection": "localhost"},
    {"connection": {"host": "a", "port": "many"}},
    {"connection": {"hots": "a"}},
    pytest.param({"connection_pool": redis.asyncio.ConnectionPool()}, id="asyncio pool"),
    {"connection_pool": "redis://a"},
    {"key_prefix": "with{brace"},
    {"result_expires": "1 day"},
    {"result_expires": -1},
    {"lease": 0.1},
    {"max_payload_bytes": 0},
    {"crash_limit": "3"},
]


@pytest.mark.parametrize("options", WRONG, ids=repr)
def test_a_wrong_option_is_an_error_of_the_checks(options: Any) -> None:
    assert messages_of(options) == ["streamtasks.E001"]


def test_an_unknown_option_is_a_warning_with_a_guess() -> None:
    with override_settings(TASKS={"default": {"BACKEND": BACKEND, "OPTIONS": {"result_expire": 5}}}):
        [message] = [m for m in run_checks() if str(m.id).startswith("streamtasks.")]
    assert message.id == "streamtasks.W001"
    assert "Did you mean 'result_expires'?" in message.msg
    assert not message.is_serious()


def test_good_settings_pass() -> None:
    everything = {
        "connection": {"host": "localhost", "port": 6379, "db": 0},
        "key_prefix": "django_tasks:",
        "result_expires": 3600,
        "failure_expires": 7200,
        "queue_expires": 86400,
        "lease": 30,
        "idle_poll": 10,
        "timeout": 5,
        "enqueue_timeout": 2,
        "max_retries": 5,
        "default_retry_delay": 60,
        "serializer": "msgpack",
        "signing_keys": ["a secret that is long enough to be one"],
        "encryption_keys": ["another secret that is long enough to be one"],
        "encrypt": True,
        "require_signed": True,
        "compression": "gzip",
        "max_decompressed_bytes": 1_000_000,
        "max_payload_bytes": 1000,
        "max_dead_letters": 10,
        "max_dead_letter_bytes": 1_000_000,
        "max_events": 10,
        "log_bytes": 8192,
        "send_events": True,
        "ignore_result": True,
        "durability": "replicated",
        "durability_timeout": 3,
        "replicas": 2,
        "max_connections": 5,
        "crash_limit": 2,
        "crash_delay": 0,
        "lost_limit": 3,
        "unknown_task_limit": 4,
        "unknown_task_delay": 1,
        "worker": {"concurrency": 2, "queues": ["a", "b"], "grace_s": 5},
        "on_commit": True,
        "outbox": False,
        "result_model": None,
        "extra_fields": ["category"],
    }
    assert set(everything) == conf_options.OPTIONS - {"url", "connection_pool"}
    assert messages_of(everything, QUEUES=["default", "mail"]) == []


def test_names_of_queues_are_checked() -> None:
    assert messages_of(QUEUES=["default", "no spaces"]) == ["streamtasks.E002"]


def test_two_aliases_may_not_use_the_same_keys() -> None:
    same = {"BACKEND": BACKEND, "OPTIONS": {"key_prefix": "same:"}}
    apart = {"BACKEND": BACKEND, "OPTIONS": {"key_prefix": "same:", "url": "redis://127.0.0.1:6379/1"}}
    for second, expected in ((same, ["streamtasks.E003"]), (apart, [])):
        with override_settings(TASKS={"default": same, "second": dict(second)}):
            assert [m.id for m in run_checks() if str(m.id).startswith("streamtasks.")] == expected


@pytest.mark.parametrize("worker", [{"concurency": 2}, {"concurrency": "two"}, {"queues": ["no spaces"]}, "fast"])
def test_options_of_the_worker_are_checked(worker: Any) -> None:
    assert messages_of({"worker": worker}) == ["streamtasks.E004"]
    with override_settings(STREAMTASKS={"WORKER": worker}):
        assert messages_of() == ["streamtasks.E004"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"MIDDLEWARE": ["no.such.Middleware"]}, "E005"),
        ({"MIDDLEWARE": ["django.test.TestCase"]}, "E005"),
        ({"MIDDLEWARE": "contract.notes.NoteMiddleware"}, "E005"),
        ({"MIDDLEWEAR": []}, "W002"),
    ],
)
def test_the_setting_streamtasks_is_checked(value: Any, expected: str) -> None:
    with override_settings(STREAMTASKS=value):
        assert messages_of() == [f"streamtasks.{expected}"]


def test_wrong_types_of_settings_are_checked() -> None:
    with override_settings(TASK_IMPORTS="contract.elsewhere"):
        assert messages_of() == ["streamtasks.E006"]
    with override_settings(STREAMTASKS=["WORKER"]):
        assert "streamtasks.E006" in messages_of()


def test_middleware_is_made_once_and_again_for_other_settings() -> None:
    [first] = project.middleware()
    assert isinstance(first, NoteMiddleware)
    assert project.middleware() == (first,)
    with override_settings(STREAMTASKS={}):
        assert project.middleware() == ()


def test_options_of_an_alias_win_over_those_of_the_process() -> None:
    with override_settings(STREAMTASKS={"WORKER": {"concurrency": 2, "threads": 3}}):
        assert project.worker_defaults({"worker": {"concurrency": 9}}) == {"concurrency": 9, "threads": 3}


def test_a_project_without_our_backends_gets_no_messages() -> None:
    with override_settings(TASKS={"default": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"}}):
        assert [m for m in run_checks() if str(m.id).startswith("streamtasks.")] == []


def test_the_server_is_asked_by_deployment_checks_only(site_url: str) -> None:
    away = {"url": "redis://127.0.0.1:1/0"}
    assert messages_of(away) == []
    assert "streamtasks.W003" in messages_of(away, deploy=True)
    assert messages_of({"url": site_url}, deploy=True) == ["streamtasks.W009"], "servers of tests keep nothing on disk"
    with redis.Redis.from_url(site_url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            assert messages_of({"url": site_url}, deploy=True) == ["streamtasks.E007"]
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert messages_of({"url": site_url.replace("://", "://me:wrong@")}, deploy=True) == ["streamtasks.E007"]


def test_events_are_written_where_they_are_wanted() -> None:
    assert conf_options.store_settings("default", {}).events_kept == 0
    with override_settings(TASK_SEND_EVENTS=True):
        assert conf_options.store_settings("default", {"max_events": 50}).events_kept == 50
        assert conf_options.store_settings("default", {"send_events": False}).events_kept == 0
    assert conf_options.store_settings("default", {"send_events": True}).events_kept == 10_000
