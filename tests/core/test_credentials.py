"""Passwords from files and providers: asked at each connect, so that a new one needs no restart; never shown."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from redis.credentials import CredentialProvider

from streamtasks import ConfigurationError, StoreSettings
from streamtasks.exceptions import AccessDenied, StoreUnavailable
from streamtasks.stores.redis import connections
from streamtasks.stores.types import NewMessage
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.fake_sentinel import FakeSentinel

if TYPE_CHECKING:
    from tests.core.conftest import AnyStore

    type OpenStore = Callable[..., AnyStore]

FIRST, SECOND = "first-secret", "second-secret"
HERE = __name__
PATIENT: dict[str, Any] = {"timeout_s": 60.0, "enqueue_timeout_s": 60.0}


def new(task_id: str) -> NewMessage:
    return NewMessage(task_id, "default", 0, b"{}")


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as started:
        yield started


@pytest.fixture
def admin(server: EmbeddedServer) -> Iterator[redis.Redis]:
    """A client of the server that has one user for others: `app`, with the first password."""
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
        set_password(client, FIRST)
        yield client


def set_password(client: redis.Redis, password: str) -> None:
    """Replace the password of the user, and close its connections, as services do when a token ends."""
    client.execute_command("ACL", "SETUSER", "app", "reset", "on", f">{password}", "+@all", "~*", "&*")
    client.execute_command("CLIENT", "KILL", "USER", "app")


class Tokens(CredentialProvider):
    """A provider whose token changes."""

    token = FIRST
    failures = 0
    asked: list[str]
    threads: set[int]

    def __init__(self) -> None:
        self.asked, self.threads = [], set()
        made.append(self)

    def get_credentials(self) -> tuple[str, str]:
        self.threads.add(threading.get_ident())
        if Tokens.failures:
            Tokens.failures -= 1
            raise OSError("the token service is away")
        self.asked.append(Tokens.token)
        return "app", Tokens.token


class AsyncTokens(Tokens):
    async def get_credentials_async(self) -> tuple[str, str]:
        self.asked.append(Tokens.token)
        return "app", Tokens.token


made: list[Tokens] = []


def provide() -> Tokens:
    return Tokens()


SHARED = object()


@pytest.fixture(autouse=True)
def _first_token() -> None:
    made.clear()
    Tokens.token, Tokens.failures = FIRST, 0


class TestFile:
    def test_a_new_password_needs_no_restart(
        self, server: EmbeddedServer, admin: redis.Redis, tmp_path: Path, any_store: OpenStore
    ) -> None:
        secret = tmp_path / "secret"
        secret.write_text(f"{FIRST}\n")
        store = any_store(server.url, connection={"username": "app", "password_file": str(secret)}, **PATIENT)
        assert store.enqueue([new("a")]) == [True]
        secret.write_text(SECOND)
        set_password(admin, SECOND)
        assert store.enqueue([new("b")]) == [True]

    def test_in_a_url(self, server: EmbeddedServer, admin: redis.Redis, tmp_path: Path, any_store: OpenStore) -> None:
        secret = tmp_path / "secret"
        secret.write_text(FIRST)
        url = server.url.replace("://", "://app@") + f"?password_file={secret}"
        assert any_store(url, **PATIENT).enqueue([new("a")]) == [True]

    def test_of_the_user_without_a_name(
        self, server: EmbeddedServer, admin: redis.Redis, tmp_path: Path, any_store: OpenStore
    ) -> None:
        secret = tmp_path / "secret"
        secret.write_text(FIRST)
        with EmbeddedServer(extra_args=["--requirepass", FIRST]) as own:
            store = any_store(own.url, connection={"password_file": str(secret)}, **PATIENT)
            assert store.enqueue([new("a")]) == [True]

    @pytest.mark.parametrize(("content", "text"), [(None, "No such file"), (b"\n", "is empty"), (b"\xff", "not UTF-8")])
    def test_one_that_cannot_be_read(
        self, server: EmbeddedServer, tmp_path: Path, any_store: OpenStore, content: bytes | None, text: str
    ) -> None:
        secret = tmp_path / "secret"
        if content is not None:
            secret.write_bytes(content)
        # Settings do not need it: images are built without secrets.
        store = any_store(server.url, connection={"username": "app", "password_file": str(secret)}, **PATIENT)
        with pytest.raises(AccessDenied, match=rf"127\.0\.0\.1:{server.port}.*password_file '{secret}'.*{text}"):
            store.enqueue([new("a")])

    def test_one_with_a_wrong_password(
        self, server: EmbeddedServer, admin: redis.Redis, tmp_path: Path, any_store: OpenStore
    ) -> None:
        secret = tmp_path / "secret"
        secret.write_text("wrong-secret")
        store = any_store(server.url, connection={"username": "app", "password_file": str(secret)}, **PATIENT)
        with pytest.raises(AccessDenied, match="Check user, password") as caught:
            store.enqueue([new("a")])
        assert "wrong-secret" not in str(caught.value)

    def test_of_sentinels(
        self, server: EmbeddedServer, admin: redis.Redis, tmp_path: Path, any_store: OpenStore
    ) -> None:
        secret = tmp_path / "secret"
        secret.write_text(SECOND)
        with FakeSentinel(server.port, password=SECOND) as sentinel:
            url = f"redis+sentinel://127.0.0.1:{sentinel.port}/main"
            own = {"password_file": str(secret)}
            store = any_store(
                url, sentinel_connection=own, connection={"username": "app", "password": FIRST}, **PATIENT
            )
            assert store.enqueue([new("a")]) == [True]


class TestProvider:
    @pytest.mark.parametrize("given", [f"{HERE}.Tokens", f"{HERE}.AsyncTokens", f"{HERE}.provide", provide, Tokens])
    def test_it_is_asked_at_each_connect(
        self, server: EmbeddedServer, admin: redis.Redis, any_store: OpenStore, given: Any
    ) -> None:
        store = any_store(
            server.url, connection={"credential_provider": given, "client_name": f"n{time.monotonic_ns()}"}, **PATIENT
        )
        assert store.enqueue([new("a")]) == [True]
        Tokens.token = SECOND
        set_password(admin, SECOND)
        assert store.enqueue([new("b")]) == [True]
        assert made[-1].asked[-1] == SECOND

    def test_it_does_not_hold_up_an_event_loop(
        self, server: EmbeddedServer, admin: redis.Redis, any_store: OpenStore
    ) -> None:
        tokens = Tokens()
        store = any_store(server.url, connection={"credential_provider": tokens}, **PATIENT)
        assert store.enqueue([new("a")]) == [True]
        assert (threading.get_ident() in tokens.threads) is (store.kind == "sync")

    def test_a_token_that_has_just_been_replaced(
        self, server: EmbeddedServer, admin: redis.Redis, any_store: OpenStore
    ) -> None:
        class Late(Tokens):
            def get_credentials(self) -> tuple[str, str]:
                found = super().get_credentials()
                Tokens.token = SECOND
                return found

        set_password(admin, SECOND)
        assert any_store(server.url, connection={"credential_provider": Late()}, **PATIENT).enqueue([new("a")]) == [
            True
        ]

    def test_one_that_fails_is_asked_again(
        self, server: EmbeddedServer, admin: redis.Redis, any_store: OpenStore
    ) -> None:
        tokens = Tokens()
        Tokens.failures = 3
        store = any_store(server.url, connection={"credential_provider": tokens}, **PATIENT)
        assert store.enqueue([new("a")]) == [True]
        Tokens.failures = 1_000
        store = any_store(
            server.url, connection={"credential_provider": Tokens()}, timeout_s=0.2, enqueue_timeout_s=0.2
        )
        with pytest.raises(
            StoreUnavailable, match="credential_provider Tokens failed: OSError: the token service is aw"
        ):
            store.enqueue([new("b")])

    def test_one_that_returns_something_else(self, server: EmbeddedServer, any_store: OpenStore) -> None:
        class Odd(CredentialProvider):
            def get_credentials(self) -> Any:
                return {"password": "odd-secret"}

        store = any_store(server.url, connection={"credential_provider": Odd()}, timeout_s=0.2, enqueue_timeout_s=0.2)
        with pytest.raises(StoreUnavailable, match=r"it must return \(user, password\)") as caught:
            store.enqueue([new("a")])
        assert "odd-secret" not in str(caught.value)


def test_no_password_where_one_is_needed(any_store: OpenStore) -> None:
    with (
        EmbeddedServer(extra_args=["--requirepass", FIRST]) as own,
        pytest.raises(AccessDenied, match="Check user, password"),
    ):
        any_store(own.url, **PATIENT).enqueue([new("a")])


def test_a_connection_that_is_not_logged_in_any_more(any_store: OpenStore) -> None:
    with EmbeddedServer(extra_args=["--requirepass", FIRST]) as own:
        store = any_store(own.url.replace("://", f"://:{FIRST}@"), **PATIENT)
        assert store.enqueue([new("a")]) == [True]
        if store.kind == "sync":
            idle = store.pool().borrow()
            idle.send_command("RESET")
            assert idle.read_response() == b"RESET"
            store.pool().give_back(idle)
        assert store.enqueue([new("b")]) == [True]


@pytest.mark.parametrize(
    ("connection", "text"),
    [
        ({"password": "a-secret", "password_file": "/run/secret"}, "password and password_file are given"),
        (
            {"password": "a-secret", "credential_provider": f"{HERE}.Tokens"},
            "credential_provider and password are given",
        ),
        (
            {"username": "u", "password_file": "f", "credential_provider": "x"},
            "and username and password_file are given",
        ),
        ({"password_file": 3}, "must be the path of a file"),
        ({"credential_provider": "nowhere.Tokens"}, "'nowhere.Tokens' cannot be imported"),
        ({"credential_provider": "json.Tokens"}, "'json.Tokens' cannot be imported"),
        ({"credential_provider": "Tokens"}, "cannot be imported"),
        ({"credential_provider": SHARED}, r"has no get_credentials\(\)"),
    ],
)
def test_what_contradicts_itself(connection: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text) as caught:
        connections.check_options(StoreSettings(connection=connection))
    assert "a-secret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["redis", "rediss", "redis+sentinel", "redis+cluster"])
@pytest.mark.parametrize("place", ["{0}@h:6379/0", "u:{0}@h/main/0", ":{0}@h:x/main", "[{0}@h/main/0", "a@{0}@h/m/x"])
@pytest.mark.parametrize("mark", ["/", "?", "#", "@", ":", "%", "[", "\N{DOUBLE EXCLAMATION MARK}", "\u2100", "//"])
def test_no_error_of_a_url_shows_a_part_of_the_password(scheme: str, place: str, mark: str) -> None:
    url = f"{scheme}://{place.format(f'left{mark}right')}"
    settings = StoreSettings(url=url)
    shown = repr(settings)
    try:
        connections.check_options(settings)
    except ConfigurationError as error:
        shown += str(error)
    else:
        shown += settings.shown_url + connections.address(settings)
    assert "left" not in shown
    assert "right" not in shown
