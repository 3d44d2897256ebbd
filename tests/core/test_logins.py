"""Connections that live log in again before their credentials end, and no call fails over it."""

from __future__ import annotations

import threading
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis.credentials import CredentialProvider

from streamtasks import ConfigurationError, StoreSettings
from streamtasks.exceptions import StoreUnavailable
from streamtasks.stores.redis import connections, credentials, logins
from streamtasks.stores.types import NewMessage
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.process.tasks.short_tokens import Tokens
from tests.support.fake_sentinel import FakeSentinel
from tests.support.servers import flush
from tests.support.short_lived_users import ShortLivedUsers
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.core.conftest import AnyStore

    type OpenStore = Callable[..., AnyStore]

ROTATIONS = 2
PATIENT: dict[str, Any] = {"timeout_s": 60.0, "enqueue_timeout_s": 60.0}


def new(task_id: str) -> NewMessage:
    return NewMessage(task_id, "default", 0, b"{}")


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "LEAST_S", 0.05)
    monkeypatch.setattr(logins, "AGAIN_S", 0.05)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as started:
        yield started


@pytest.fixture
def users(server: EmbeddedServer, tmp_path: Path) -> Iterator[ShortLivedUsers]:
    flush(server.url)
    with ShortLivedUsers([server.url], tmp_path / "token", 0.5) as made:
        yield made


@pytest.fixture(params=["server", "sentinel"])
def url(request: pytest.FixtureRequest, server: EmbeddedServer) -> Iterator[str]:
    if request.param == "server":
        yield server.url
        return
    with FakeSentinel(server.port) as sentinel:
        yield f"redis+sentinel://127.0.0.1:{sentinel.port}/main"


def test_a_connection_goes_on_over_several_tokens(url: str, users: ShortLivedUsers, any_store: OpenStore) -> None:
    store = any_store(url, connection={"credential_provider": Tokens(str(users.path))}, **PATIENT)
    assert store.enqueue([new("first")]) == [True]
    [first] = users.clients()
    ids = count()

    def goes_on() -> bool:
        assert store.enqueue([new(f"a{next(ids)}")]) == [True]
        return users.may_end()

    for number in range(1, ROTATIONS + 1):
        users.begin()
        wait_until(goes_on, "the token may end")
        assert not users.clients(number)
        users.end()
    assert store.enqueue([new("last")]) == [True]
    assert [row["id"] for row in users.clients()] == [first["id"]]  # never made anew


def test_one_that_was_idle_meanwhile_is_made_anew(url: str, users: ShortLivedUsers, any_store: OpenStore) -> None:
    store = any_store(url, connection={"credential_provider": Tokens(str(users.path))}, **PATIENT)
    assert store.enqueue([new("a")]) == [True]
    users.begin()
    wait_until(users.may_end, "the token has ended")
    users.end()
    assert store.enqueue([new("b")]) == [True]


def test_who_waits_for_a_result_is_told_of_it_after_several_tokens(
    url: str, users: ShortLivedUsers, any_store: OpenStore
) -> None:
    store = any_store(url, connection={"credential_provider": Tokens(str(users.path))}, **PATIENT)
    assert store.enqueue([new("a")]) == [True]
    found: list[Any] = []
    waiter = threading.Thread(target=lambda: found.extend(store.wait_finished(["a"], 60)))
    waiter.start()
    other = any_store(url, connection={"credential_provider": Tokens(str(users.path)), "client_name": "o"}, **PATIENT)
    wait_until(lambda: any(int(row["ssub"]) for row in users.clients()), "it is subscribed")
    for _ in range(ROTATIONS):
        users.begin()
        wait_until(users.may_end, "it has logged in anew")
        users.end()
    other.revoke("a")
    waiter.join(60)
    assert [snapshot.id for snapshot in found] == ["a"]


class Fickle(CredentialProvider):
    """Says what a test wants."""

    def __init__(self, path: Path) -> None:
        self.good = Tokens(str(path))
        self.now: Callable[[], tuple[str, str]] = self.good.get_credentials
        self.end: Any = None

    def get_credentials(self) -> tuple[str, str]:
        return self.now()

    def expires_at(self) -> Any:
        return self.good.expires_at() if self.end is None else self.end


def away() -> tuple[str, str]:
    raise OSError("the token service is away")


@pytest.mark.parametrize(
    ("now", "text"), [(away, "the token service is away"), (lambda: ("token-1", "wrong"), "username-password")]
)
def test_without_a_new_token_the_old_one_serves(
    server: EmbeddedServer,
    users: ShortLivedUsers,
    any_store: OpenStore,
    caplog: pytest.LogCaptureFixture,
    now: Callable[[], tuple[str, str]],
    text: str,
) -> None:
    provider = Fickle(users.path)
    store = any_store(server.url, connection={"credential_provider": provider}, **PATIENT)
    assert store.enqueue([new("a")]) == [True]
    [first] = users.clients()
    provider.now = now
    ids = count()

    def goes_on() -> bool:
        return bool(store.enqueue([new(f"b{next(ids)}")]) == [True])

    wait_until(lambda: goes_on() and text in caplog.text, "a warning")
    assert f"127.0.0.1:{server.port} could not log in again" in caplog.text
    provider.now = provider.good.get_credentials
    users.begin()
    wait_until(lambda: goes_on() and not users.clients(1), "a new login")
    assert [row["id"] for row in users.clients()] == [first["id"]]
    assert caplog.text.count("could not log in again") == 1
    assert "wrong" not in caplog.text


@pytest.mark.parametrize("end", ["soon", True, float("nan")])
def test_an_end_that_is_none(server: EmbeddedServer, users: ShortLivedUsers, any_store: OpenStore, end: Any) -> None:
    provider = Fickle(users.path)
    provider.end = end
    store = any_store(server.url, connection={"credential_provider": provider}, timeout_s=0.2, enqueue_timeout_s=0.2)
    with pytest.raises(StoreUnavailable, match=r"Fickle failed: TypeError: expires_at\(\) must return seconds"):
        store.enqueue([new("a")])


def test_a_file_is_read_again_as_often_as_the_settings_say(
    server: EmbeddedServer, users: ShortLivedUsers, any_store: OpenStore, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("pw-of-a-test")
    url = server.url.replace("://", "://token-1@") + f"?password_file={secret}&reauthenticate_every=0.1"
    store = any_store(url, **PATIENT)
    assert store.enqueue([new("a")]) == [True]
    [first] = users.clients()
    secret.unlink()
    began = time.monotonic()
    while time.monotonic() < began + 0.2:
        assert store.enqueue([new(f"a{time.monotonic_ns()}")]) == [True]
    secret.write_text("pw-of-a-test")
    assert [row["id"] for row in users.clients()] == [first["id"]]


@pytest.mark.parametrize(
    ("connection", "text"),
    [
        ({"reauthenticate_every": 60}, "neither password_file nor credential_provider"),
        ({"password_file": "f", "reauthenticate_every": "soon"}, "'soon'; it must be seconds"),
        ({"password_file": "f", "reauthenticate_every": True}, "True; it must be seconds"),
        ({"password_file": "f", "reauthenticate_every": 0}, "0; it must be seconds"),
        ({"password_file": "f", "reauthenticate_every": float("inf")}, "inf; it must be seconds"),
    ],
)
def test_settings_that_cannot_be(connection: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        connections.check_options(StoreSettings(connection=connection))
