"""TLS: certificates are verified, and one that is not accepted is one clear error that names the remedy."""

from __future__ import annotations

import re
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from streamtasks import ConfigurationError, StoreSettings
from streamtasks.exceptions import StoreUnavailable, UntrustedServer
from streamtasks.stores.factory import open_store
from streamtasks.stores.redis import connections
from streamtasks.stores.redis.addresses import not_verified
from streamtasks.stores.types import NewMessage
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.certificates import Authority, TLSProxy
from tests.support.fake_sentinel import FakeSentinel
from tests.support.ports import free_port
from tests.support.servers import find_redis

if TYPE_CHECKING:
    from tests.core.conftest import AnyStore

    type OpenStore = Callable[..., AnyStore]

MESSAGE = NewMessage("a", "default", 0, b"{}")
WRONG = {
    "expired": ({"days": (-3, -1)}, "Renew the server's certificate"),
    "other host": ({"host": "10.0.0.1"}, "a name that stands in the server's certificate"),
}
PATIENT: dict[str, Any] = {"timeout_s": 60.0, "enqueue_timeout_s": 60.0}
PATIENT_WITH_SENTINELS: dict[str, Any] = PATIENT | {
    "sentinel_connection": {"socket_timeout": 20.0, "socket_connect_timeout": 20.0}
}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].split("/")[0])


def test_a_server_with_a_good_certificate(
    embedded_url: str, authority: Authority, stack: ExitStack, any_store: OpenStore
) -> None:
    proxy = stack.enter_context(TLSProxy(port_of(embedded_url), authority.context()))
    store = any_store(f"rediss://127.0.0.1:{proxy.port}/0?ssl_ca_certs={authority.path}", **PATIENT)
    assert store.enqueue([MESSAGE]) == [True]
    store = any_store(
        f"redis://127.0.0.1:{proxy.port}/0", connection={"ssl": True, "ssl_ca_certs": str(authority.path)}, **PATIENT
    )
    assert store.enqueue([MESSAGE]) == [False]


def test_an_unknown_authority(embedded_url: str, authority: Authority, stack: ExitStack, any_store: OpenStore) -> None:
    proxy = stack.enter_context(TLSProxy(port_of(embedded_url), authority.context()))
    store = any_store(f"rediss://127.0.0.1:{proxy.port}/0", **PATIENT)
    with pytest.raises(UntrustedServer, match=rf"127\.0\.0\.1:{proxy.port}.*ssl_ca_certs"):
        store.enqueue([MESSAGE])


@pytest.mark.parametrize("what", WRONG)
def test_a_certificate_that_is_wrong(
    embedded_url: str, authority: Authority, stack: ExitStack, any_store: OpenStore, what: str
) -> None:
    options, remedy = WRONG[what]
    context = authority.context(**options)  # type: ignore[arg-type]
    proxy = stack.enter_context(TLSProxy(port_of(embedded_url), context))
    url = f"rediss://127.0.0.1:{proxy.port}/0?ssl_ca_certs={authority.path}"
    with pytest.raises(UntrustedServer, match=remedy):
        any_store(url, **PATIENT).enqueue([MESSAGE])
    with pytest.raises(UntrustedServer, match=remedy):
        open_store(StoreSettings(url=url, **PATIENT)).check()  # a worker refuses to start


class TestClientCertificate:
    def url(self, embedded_url: str, authority: Authority, stack: ExitStack) -> str:
        proxy = stack.enter_context(TLSProxy(port_of(embedded_url), authority.context(asks=authority)))
        return f"rediss://127.0.0.1:{proxy.port}/0?ssl_ca_certs={authority.path}"

    def test_a_good_one(self, embedded_url: str, authority: Authority, stack: ExitStack, any_store: OpenStore) -> None:
        url = self.url(embedded_url, authority, stack)
        own = authority.issue(password="of-the-key")
        connection = {"ssl_certfile": str(own), "ssl_password": "of-the-key"}
        assert any_store(url, connection=connection, **PATIENT).enqueue([MESSAGE]) == [True]
        connection = {"ssl_certfile": str(authority.issue()), "ssl_keyfile": str(authority.issue())}
        assert any_store(url, connection=connection, **PATIENT).enqueue([MESSAGE]) == [False]

    @pytest.mark.parametrize("what", ["none", "unknown authority"])
    def test_one_that_is_not_accepted(
        self, embedded_url: str, authority: Authority, stack: ExitStack, any_store: OpenStore, what: str, tmp_path: Path
    ) -> None:
        url = self.url(embedded_url, authority, stack)
        connection = {} if what == "none" else {"ssl_certfile": str(Authority(tmp_path, "other").issue())}
        with pytest.raises(UntrustedServer, match=r"127\.0\.0\.1:.*check ssl_certfile and ssl_keyfile"):
            any_store(url, connection=connection, **PATIENT).enqueue([MESSAGE])


class TestFiles:
    """Files are looked at when a connection is made: an image may be built without them."""

    @pytest.mark.parametrize(
        ("name", "content", "remedy"),
        [
            ("ssl_ca_certs", None, "No such file"),
            ("ssl_ca_certs", "nothing", "holds no certificates in PEM form"),
            ("ssl_certfile", None, "No such file"),
            ("ssl_certfile", "nothing", "must be a certificate and its key in PEM form"),
        ],
    )
    def test_one_that_cannot_be_used(
        self, embedded_url: str, authority: Authority, stack: ExitStack, any_store: OpenStore,
        name: str, content: str | None, remedy: str, tmp_path: Path,
    ) -> None:  # fmt: skip
        path = tmp_path / "given.pem"
        if content is not None:
            path.write_text(content)
        proxy = stack.enter_context(TLSProxy(port_of(embedded_url), authority.context()))
        connection = {"ssl": True, "ssl_ca_certs": str(authority.path)} | {name: str(path)}
        settings: dict[str, Any] = {"url": f"redis://127.0.0.1:{proxy.port}/0", "connection": connection, **PATIENT}
        text = rf"127\.0\.0\.1:{proxy.port}: connection: {name} '{path}' .*{remedy}"
        with pytest.raises(UntrustedServer, match=text):
            any_store(**settings).enqueue([MESSAGE])
        with pytest.raises(UntrustedServer, match=text):
            open_store(StoreSettings(**settings)).check()

    def test_a_key_without_its_password(
        self, embedded_url: str, authority: Authority, stack: ExitStack, any_store: OpenStore
    ) -> None:
        proxy = stack.enter_context(TLSProxy(port_of(embedded_url), authority.context()))
        url = f"rediss://127.0.0.1:{proxy.port}/0?ssl_ca_certs={authority.path}"
        connection = {"ssl_certfile": str(authority.issue(password="x"))}
        with pytest.raises(UntrustedServer, match="ssl_certfile"):
            any_store(url, connection=connection, **PATIENT).enqueue([MESSAGE])


class TestSettings:
    @pytest.mark.parametrize(
        ("url", "text"),
        [
            ("redis://h?ssl_ca_certs=/ca.pem", "ssl_ca_certs without TLS; write rediss://"),
            ("rediss://h?ssl_cert_reqs=no", "ssl_cert_reqs is 'no'"),
            ("rediss://h?ssl_keyfile=/key.pem", "without ssl_certfile"),
            ("redis+sentinel://s/main?sentinel_ssl=1&sentinel_ssl_cert_reqs=no", "sentinel_connection: ssl_cert_reqs"),
        ],
    )
    def test_what_contradicts_itself(self, url: str, text: str) -> None:
        with pytest.raises(ConfigurationError, match=text):
            connections.check_options(StoreSettings(url=url))

    @pytest.mark.parametrize("query", ["ssl_cert_reqs=none", "ssl_cert_reqs=optional", "ssl_check_hostname=false"])
    def test_verification_that_is_off_is_warned_of(
        self, embedded_url: str, authority: Authority, stack: ExitStack, any_store: OpenStore, query: str
    ) -> None:
        proxy = stack.enter_context(TLSProxy(port_of(embedded_url), authority.context(host="10.0.0.1")))
        if query != "ssl_cert_reqs=none":
            query += f"&ssl_ca_certs={authority.path}&ssl_check_hostname=false"
        url = f"rediss://127.0.0.1:{proxy.port}/0?{query}"
        assert any_store(url, **PATIENT).enqueue([MESSAGE]) == [True]
        warnings = open_store(StoreSettings(url=url, **PATIENT)).check()
        assert any("anybody in between can read and change everything" in one for one in warnings)

    def test_verification_is_on_without_a_word(self) -> None:
        assert not_verified(StoreSettings(url="rediss://h")) == []
        [warning] = not_verified(
            StoreSettings(url="redis+sentinel://s/main?sentinel_ssl=1&sentinel_ssl_cert_reqs=none")
        )
        assert warning == "ssl_cert_reqs is 'none': the certificate is not verified"


def test_a_server_that_waits_for_more_instead_of_speaking_tls(embedded_url: str, any_store: OpenStore) -> None:
    store = any_store(embedded_url.replace("redis://", "rediss://"), timeout_s=0.3, enqueue_timeout_s=0.3)
    with pytest.raises(StoreUnavailable, match="does it speak TLS at this port"):
        store.enqueue([MESSAGE])


class _Plain(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(65_536)
        self.request.sendall(b"-ERR Protocol error\r\n")


def test_a_server_that_answers_without_tls(any_store: OpenStore) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Plain) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with pytest.raises(UntrustedServer, match="does not speak TLS at this port"):
                any_store(f"rediss://127.0.0.1:{server.server_address[1]}", **PATIENT).enqueue([MESSAGE])
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    "text",
    [
        "Connection closed by server.",
        "Error 104 while writing to socket. Connection reset by peer.",
        "Error 32 while writing to socket. Broken pipe.",
        "Error UNKNOWN while writing to socket. Connection lost.",
    ],
)
def test_signs_of_a_port_that_speaks_something_else(text: str) -> None:
    assert connections.is_cut_off(RedisConnectionError(text))
    assert not connections.is_cut_off(RedisConnectionError("Error 111 connecting to 127.0.0.1:1. Connection refused."))


class _FirstResets(TLSProxy):
    """Is closed at the first connections before its refusal may be read, as happens on the way through a network."""

    resets = 2

    def _serve(self, plain: socket.socket) -> None:
        if self.resets == 0:
            super()._serve(plain)
            return
        self.resets -= 1
        with plain, self._quiet.wrap_socket(plain, server_side=True) as client:
            client.recv(1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def __init__(self, port: int, context: ssl.SSLContext, quiet: ssl.SSLContext) -> None:
        super().__init__(port, context)
        self._quiet = quiet


def test_a_refusal_that_is_cut_off_is_asked_for_again(
    embedded_url: str, authority: Authority, stack: ExitStack
) -> None:
    """A worker must not wait for ever for a server that wants a certificate of ours."""
    asking, quiet = authority.context(asks=authority), authority.context()
    proxy = stack.enter_context(_FirstResets(port_of(embedded_url), asking, quiet))
    store = open_store(StoreSettings(url=f"rediss://127.0.0.1:{proxy.port}/0?ssl_ca_certs={authority.path}", **PATIENT))
    with pytest.raises(UntrustedServer, match="check ssl_certfile and ssl_keyfile"):
        store.check()
    assert proxy.resets == 0


def test_a_tls_port_that_is_reached_without_tls(
    embedded_url: str, authority: Authority, stack: ExitStack, any_store: OpenStore
) -> None:
    proxy = stack.enter_context(TLSProxy(port_of(embedded_url), authority.context()))
    place = f"127.0.0.1:{proxy.port}"
    text = rf"{re.escape(place)}.*is it a TLS port\? Then the URL must begin with rediss"
    with pytest.raises(StoreUnavailable, match=text):
        any_store(f"redis://{place}", **PATIENT).enqueue([MESSAGE], 0)
    for scheme in ("redis", "redis+cluster"):  # a worker waits for it
        [warning] = open_store(StoreSettings(url=f"{scheme}://{place}", **PATIENT)).check()
        assert re.search(text, warning)


@pytest.mark.skipif(find_redis() is None, reason="the embedded server is built without TLS")
@pytest.mark.parametrize("asks", ["no", "yes"])
def test_a_server_that_speaks_tls_itself(authority: Authority, any_store: OpenStore, asks: str) -> None:
    own = str(authority.issue())
    port = free_port()
    arguments = ["--tls-port", str(port), "--tls-cert-file", own, "--tls-key-file", own]
    arguments += ["--tls-ca-cert-file", str(authority.path), "--tls-auth-clients", asks]
    url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={authority.path}"
    with EmbeddedServer(find_redis(), extra_args=arguments):
        with pytest.raises(UntrustedServer, match="ssl_ca_certs"):
            any_store(f"rediss://127.0.0.1:{port}/0", **PATIENT).enqueue([MESSAGE])
        if asks == "yes":
            with pytest.raises(UntrustedServer, match="check ssl_certfile and ssl_keyfile"):
                any_store(url, **PATIENT).enqueue([MESSAGE])
        store = any_store(f"{url}&ssl_certfile={own}", **PATIENT)
        assert store.enqueue([MESSAGE]) == [True]
        assert store.wait_finished(["a"], 0.01) == []


class TestSentinels:
    def url(self, stack: ExitStack, context: Any, master: int, query: str, scheme: str = "rediss") -> str:
        proxies = []
        for _ in range(2):
            sentinel = stack.enter_context(FakeSentinel(master))
            proxies.append(stack.enter_context(TLSProxy(sentinel.port, context)))
        hosts = ",".join(f"127.0.0.1:{proxy.port}" for proxy in proxies)
        return f"{scheme}+sentinel://{hosts}/main/0?{query}"

    def test_both_with_tls(
        self, embedded_url: str, authority: Authority, stack: ExitStack, any_store: OpenStore
    ) -> None:
        context = authority.context()
        proxy = stack.enter_context(TLSProxy(port_of(embedded_url), context))
        url = self.url(stack, context, proxy.port, f"ssl_ca_certs={authority.path}")
        assert any_store(url, **PATIENT_WITH_SENTINELS).enqueue([MESSAGE]) == [True]

    def test_only_the_sentinels(
        self, embedded_url: str, authority: Authority, stack: ExitStack, any_store: OpenStore
    ) -> None:
        query = f"sentinel_ssl=true&sentinel_ssl_ca_certs={authority.path}"
        url = self.url(stack, authority.context(), port_of(embedded_url), query, "redis")
        assert any_store(url, **PATIENT_WITH_SENTINELS).enqueue([MESSAGE]) == [True]

    @pytest.mark.parametrize("what", WRONG)
    def test_a_certificate_of_theirs_that_is_wrong(
        self, embedded_url: str, authority: Authority, stack: ExitStack, any_store: OpenStore, what: str
    ) -> None:
        options, remedy = WRONG[what]
        context = authority.context(**options)  # type: ignore[arg-type]
        url = self.url(stack, context, port_of(embedded_url), f"ssl_ca_certs={authority.path}")
        with pytest.raises(UntrustedServer, match=remedy):
            any_store(url, **PATIENT_WITH_SENTINELS).enqueue([MESSAGE])

    def test_an_authority_of_theirs_that_is_unknown(
        self, embedded_url: str, authority: Authority, stack: ExitStack, any_store: OpenStore, tmp_path: Path
    ) -> None:
        other = Authority(tmp_path, "other")
        url = self.url(stack, other.context(), port_of(embedded_url), f"ssl_ca_certs={authority.path}")
        with pytest.raises(UntrustedServer, match=r"127\.0\.0\.1:.*ssl_ca_certs"):
            any_store(url, **PATIENT_WITH_SENTINELS).enqueue([MESSAGE])

    def test_a_client_certificate_that_they_want(
        self, embedded_url: str, authority: Authority, stack: ExitStack, any_store: OpenStore
    ) -> None:
        own = authority.issue()
        query = f"sentinel_ssl=1&sentinel_ssl_ca_certs={authority.path}"
        url = self.url(stack, authority.context(asks=authority), port_of(embedded_url), query, "redis")
        with pytest.raises(UntrustedServer, match="check ssl_certfile and ssl_keyfile"):
            any_store(url, **PATIENT_WITH_SENTINELS).enqueue([MESSAGE])
        assert any_store(f"{url}&sentinel_ssl_certfile={own}", **PATIENT_WITH_SENTINELS).enqueue([MESSAGE]) == [True]
