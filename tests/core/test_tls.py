"""TLS: certificates are verified, and one that is not accepted is one clear error that names the remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from streamtasks import StoreSettings
from streamtasks.exceptions import UntrustedServer
from streamtasks.stores.factory import open_store
from streamtasks.stores.types import NewMessage
from tests.support.certificates import Authority, TLSProxy
from tests.support.fake_sentinel import FakeSentinel

if TYPE_CHECKING:
    from tests.core.conftest import AnyStore

    type OpenStore = Callable[..., AnyStore]

MESSAGE = NewMessage("a", "default", 0, b"{}")
WRONG = {
    "expired": ({"days": (-3, -1)}, "Renew the server's certificate"),
    "other host": ({"host": "10.0.0.1"}, "a name that stands in the server's certificate"),
}
PATIENT: dict[str, Any] = {"timeout_s": 60.0, "enqueue_timeout_s": 60.0}


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
        assert any_store(url, **PATIENT).enqueue([MESSAGE]) == [True]

    def test_only_the_sentinels(
        self, embedded_url: str, authority: Authority, stack: ExitStack, any_store: OpenStore
    ) -> None:
        query = f"sentinel_ssl=true&sentinel_ssl_ca_certs={authority.path}"
        url = self.url(stack, authority.context(), port_of(embedded_url), query, "redis")
        assert any_store(url, **PATIENT).enqueue([MESSAGE]) == [True]

    def test_a_certificate_of_theirs_that_is_wrong(
        self, embedded_url: str, authority: Authority, stack: ExitStack, any_store: OpenStore
    ) -> None:
        context = authority.context(days=(-3, -1))
        url = self.url(stack, context, port_of(embedded_url), f"ssl_ca_certs={authority.path}")
        with pytest.raises(UntrustedServer, match="Renew the server's certificate"):
            any_store(url, **PATIENT).enqueue([MESSAGE])
