"""`streamtasks acl`: what it prints makes users on a server."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from streamtasks import StoreSettings
from streamtasks.protocol.message import Message
from streamtasks.stores.factory import open_store
from streamtasks.stores.redis.access import UserRole
from streamtasks.stores.types import NewMessage
from streamtasks_workers.cli.acl import acl_command
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.users import PASSWORD, as_user, server_version

PATIENT: dict[str, Any] = {"timeout_s": 60.0, "enqueue_timeout_s": 60.0}
MESSAGE = NewMessage("a", "default", 0, Message(id="a", task="t").encode(1 << 20))


def test_its_output_goes_to_a_server(admin: redis.Redis, server_url: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{PASSWORD}\n")
    version = ".".join(map(str, server_version(admin)))
    options = ["--prefix", 'a"b\\:', "--server", version, "--password-file", str(secret), "--user", "app"]
    for role in ("monitor", "producer", "worker"):
        done = CliRunner().invoke(acl_command, ["--role", role, *options])
        assert done.exit_code == 0, done.output
        assert PASSWORD not in done.output
        assert admin.execute_command(*shlex.split(done.stdout)) == "OK"
    store = open_store(
        StoreSettings(
            url=server_url, connection={"username": "app", "password": PASSWORD}, key_prefix='a"b\\:', **PATIENT
        )
    )
    assert store.enqueue([MESSAGE]) == [True]


def test_a_file_of_users(tmp_path: Path, embedded_url: str) -> None:
    secret, users = tmp_path / "secret", tmp_path / "users.acl"
    secret.write_text(PASSWORD)
    with redis.Redis.from_url(embedded_url) as client:
        version = ".".join(map(str, server_version(client)))  # a server does not start with rules that it does not know
    words = ["--role", "worker", "--server", version, "--format", "aclfile", "--password-file", str(secret)]
    done = CliRunner().invoke(acl_command, words)
    users.write_text(done.stdout)
    with EmbeddedServer(extra_args=["--aclfile", str(users)]) as server:
        connection = {"username": "streamtasks-worker", "password": PASSWORD}
        store = open_store(StoreSettings(url=server.url, connection=connection, **PATIENT))
        assert store.enqueue([MESSAGE]) == [True]


def test_passwords_that_are_not_named_stay(admin: redis.Redis, server_url: str) -> None:
    done = CliRunner().invoke(acl_command, ["--role", "worker", "--user", "worker", "--server", "7.0"])
    assert admin.execute_command(*shlex.split(done.stdout)) == "OK"
    assert "worker can log in as soon as it has a password" in done.stderr
    assert open_store(StoreSettings(url=as_user(server_url, UserRole.WORKER), **PATIENT)).enqueue([MESSAGE]) == [True]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--server", "6.2"], "from 7.0 on"),
        (["--server", "new"], "from 7.0 on"),
        (["--prefix", "a{b}"], "no brace"),
        (["--user", "a b"], "no spaces"),
        (["--password-file", "/nowhere"], "does not exist"),
    ],
)
def test_bad_options(options: list[str], text: str) -> None:
    done = CliRunner().invoke(acl_command, ["--role", "worker", *options])
    assert done.exit_code == 2
    assert text in done.output
