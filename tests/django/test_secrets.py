"""Passwords in OPTIONS: used, also from a file and a provider, and shown nowhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.tasks import task_backends
from django.test import override_settings
from redis.credentials import CredentialProvider

from contract.app.tasks import add
from streamtasks.exceptions import AccessDenied
from streamtasks_django.backends.base import StoreBackend
from streamtasks_workers.testing.embedded import EmbeddedServer

BACKEND = "streamtasks_django.backends.redis.RedisBackend"
SECRET, WRONG, CANARY = "canary-right", "canary-wrong", "canary"


class Provider(CredentialProvider):
    def get_credentials(self) -> tuple[str]:
        return (SECRET,)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(extra_args=["--requirepass", SECRET]) as started:
        yield started


def settings_for(server: EmbeddedServer, password: str | None = None, **connection: Any) -> override_settings:
    options: dict[str, Any] = {"timeout": 60, "enqueue_timeout": 60}
    if password:
        options["url"] = f"redis://:{password}@127.0.0.1:{server.port}/0"
    else:
        options["connection"] = {"host": "127.0.0.1", "port": server.port, **connection}
    return override_settings(TASKS={"default": {"BACKEND": BACKEND, "OPTIONS": options}})


def shown() -> str:
    """What there is to see of the backend."""
    backend = task_backends["default"]
    assert isinstance(backend, StoreBackend)
    messages = run_checks(tags=["streamtasks"], include_deployment_checks=True)
    return repr([backend, backend.store_settings, backend.stores, *messages])


@pytest.mark.parametrize("way", ["url", "password", "password_file", "credential_provider"])
def test_a_right_one(
    server: EmbeddedServer, way: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    given = {"password": SECRET, "password_file": str(secret), "credential_provider": f"{__name__}.Provider"}
    with settings_for(server, SECRET) if way == "url" else settings_for(server, **{way: given[way]}):
        result = add.enqueue(1, 2)
        assert result.id
        assert CANARY not in shown() + repr(result) + caplog.text + capsys.readouterr().err


@pytest.mark.parametrize("way", ["url", "password", "password_file"])
def test_a_wrong_one(server: EmbeddedServer, way: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = tmp_path / "secret"
    secret.write_text(WRONG)
    given = {"password": WRONG, "password_file": str(secret)}
    with settings_for(server, WRONG) if way == "url" else settings_for(server, **{way: given[way]}):
        with pytest.raises(AccessDenied, match="Check user, password and ACL") as caught:
            add.enqueue(1, 2)
        seen = shown()
    assert "streamtasks.E007" in seen
    assert CANARY not in seen + str(caught.value) + repr(caught.value) + caplog.text


@pytest.mark.parametrize(
    "options",
    [
        {"url": f"redis://:{SECRET}/x@127.0.0.1/0"},
        {"url": [f"redis://:{SECRET}@127.0.0.1/0"]},
        {"connection": f"redis://:{SECRET}@127.0.0.1/0"},
        {"connection": {"password": SECRET, "password_file": "/run/secrets/redis"}},
        {"connection": {"passwort": SECRET}},
        {"connection_pool": f"redis://:{SECRET}@127.0.0.1/0"},
        {"connection": {"password": SECRET, "port": "x"}},
    ],
)
def test_options_that_are_wrong(options: dict[str, Any]) -> None:
    with override_settings(TASKS={"default": {"BACKEND": BACKEND, "OPTIONS": options}}):
        seen = repr(run_checks())
    assert "streamtasks.E00" in seen
    assert CANARY not in seen
