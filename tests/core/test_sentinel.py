"""Finding the master: Sentinels that are out of date, dead, silent or strict, and servers that are no master."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import redis

from streamtasks import AccessDenied, StoreSettings, StoreUnavailable
from streamtasks.exceptions import UnknownService
from streamtasks.stores.factory import open_store
from streamtasks.stores.redis import RedisStore
from streamtasks.stores.redis.endpoints import endpoint_of
from streamtasks.stores.types import ClaimRequest, Filter, NewMessage
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.fake_sentinel import FakeSentinel
from tests.support.unreachable import closed_port
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.core.conftest import AnyStore

    type OpenStore = Callable[..., AnyStore]

MESSAGE = NewMessage("a", "default", 0, b"{}")
PATIENT: dict[str, Any] = {"timeout_s": 60.0, "enqueue_timeout_s": 60.0}


class Pair:
    """Two servers, and any number of Sentinels that speak of them."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.master, self.other = (self._stack.enter_context(EmbeddedServer()) for _ in range(2))
        self._clients = {
            server: self._stack.enter_context(redis.Redis.from_url(server.url, decode_responses=True))
            for server in (self.master, self.other)
        }

    def sentinels(self, stack: ExitStack, *servers: EmbeddedServer, **options: Any) -> list[FakeSentinel]:
        """Start Sentinels that name these servers as the master."""
        return [stack.enter_context(FakeSentinel(server.port, **options)) for server in servers]

    def reset(self) -> None:
        """Make both masters of nothing."""
        for client in self._clients.values():
            client.replicaof("NO", "ONE")
            client.flushall()

    def demote(self, server: EmbeddedServer) -> None:
        """Make one a replica of the other."""
        other = self.other if server is self.master else self.master
        self._clients[server].replicaof("127.0.0.1", other.port)

    def has_message(self, server: EmbeddedServer) -> bool:
        """Whether a server holds the message."""
        return bool(self._clients[server].hexists("streamtasks:{u0}:messages", MESSAGE.id))

    def blocked(self, server: EmbeddedServer) -> int:
        """How many clients wait there."""
        info: Any = self._clients[server].info("clients")
        return int(info["blocked_clients"])

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="module")
def _pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


@pytest.fixture
def pair(_pair: Pair) -> Pair:
    _pair.reset()
    return _pair


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def url_of(*ports: int, service: str = "main", account: str = "") -> str:
    return f"redis+sentinel://{account}{','.join(f'127.0.0.1:{port}' for port in ports)}/{service}/0"


def of(sentinels: list[FakeSentinel], **more: Any) -> str:
    return url_of(*(sentinel.port for sentinel in sentinels), **more)


@contextmanager
def raises(kind: type[Exception], *texts: str) -> Generator[None]:
    """Expect an error whose message holds each of the texts."""
    with pytest.raises(kind) as caught:
        yield
    for text in texts:
        assert text in str(caught.value)


class TestFinding:
    def test_the_master_that_they_name(self, pair: Pair, stack: ExitStack, any_store: OpenStore) -> None:
        sentinels = pair.sentinels(stack, *[pair.master] * 3)
        store = any_store(of(sentinels), **PATIENT)
        assert store.enqueue([MESSAGE]) == [True]
        assert pair.has_message(pair.master)
        assert [sentinel.asked for sentinel in sentinels] == [1, 1, 0], "two that agree are enough"

    def test_one_that_is_out_of_date_is_outvoted(self, pair: Pair, stack: ExitStack, any_store: OpenStore) -> None:
        sentinels = pair.sentinels(stack, pair.other, pair.master, pair.master)
        any_store(of(sentinels), **PATIENT).enqueue([MESSAGE])
        assert pair.has_message(pair.master)

    def test_the_newer_configuration_wins(self, pair: Pair, stack: ExitStack, any_store: OpenStore) -> None:
        sentinels = pair.sentinels(stack, pair.other, pair.master)
        sentinels[1].epoch = 7
        any_store(of(sentinels), **PATIENT).enqueue([MESSAGE])
        assert pair.has_message(pair.master)

    def test_a_replica_is_no_master_whoever_says_so(self, pair: Pair, stack: ExitStack, any_store: OpenStore) -> None:
        pair.demote(pair.other)
        sentinels = pair.sentinels(stack, pair.other, pair.other, pair.master)
        any_store(of(sentinels), **PATIENT).enqueue([MESSAGE])
        assert pair.has_message(pair.master)

    def test_dead_and_silent_ones_cost_little(
        self, pair: Pair, stack: ExitStack, any_store: OpenStore, bound: Callable[[float], float]
    ) -> None:
        dead = stack.enter_context(closed_port())
        silent, alive = pair.sentinels(stack, pair.master, pair.master)
        silent.is_silent = True
        began = time.monotonic()
        port = int(dead.rpartition(":")[2].split("/")[0])
        store = any_store(url_of(port, silent.port, alive.port), **PATIENT)
        store.enqueue([MESSAGE])
        assert time.monotonic() - began < bound(1.0)
        search = endpoint_of(store.settings).search
        assert search is not None
        assert search.quickest()[0].port == alive.port

    def test_one_that_does_not_tell_the_epoch_will_do(self, pair: Pair, stack: ExitStack, any_store: OpenStore) -> None:
        sentinels = pair.sentinels(stack, *[pair.master] * 3)
        for sentinel in sentinels:
            sentinel.may_tell_epoch = False
        assert any_store(of(sentinels), **PATIENT).enqueue([MESSAGE]) == [True]

    def test_a_producer_finds_out_though_the_old_master_serves_it(
        self, pair: Pair, stack: ExitStack, any_store: OpenStore
    ) -> None:
        sentinels = pair.sentinels(stack, *[pair.master] * 3)
        store = any_store(of(sentinels), **PATIENT)
        store.enqueue([MESSAGE])
        for sentinel in sentinels:
            sentinel.announce(pair.other.port)

        def arrived() -> bool:
            store.enqueue([MESSAGE])
            return pair.has_message(pair.other)

        wait_until(arrived, "the message is at the new master")


class TestWaiting:
    def test_a_wait_ends_when_another_master_is_announced(self, pair: Pair, stack: ExitStack) -> None:
        sentinels = pair.sentinels(stack, *[pair.master] * 3)
        store = RedisStore(StoreSettings(url=of(sentinels), **PATIENT))
        channel = store.channel("u0", "w", Filter())
        stack.callback(channel.close)
        descriptor = channel.start_wait(ClaimRequest(1, 1, True))
        wait_until(lambda: pair.blocked(pair.master) == 1, "it waits at the master")
        assert sum(sentinel.listeners for sentinel in sentinels) == 2
        listener = next(sentinel for sentinel in sentinels if sentinel.listeners)
        listener.announce(pair.other.port)
        wait_until(lambda: _is_readable(descriptor), "the wait ends")
        with pytest.raises(StoreUnavailable, match="master has changed"):
            channel.finish_wait()
        channel.start_wait(ClaimRequest(1, 1, True))
        wait_until(lambda: pair.blocked(pair.other) == 1, "it waits at the new master")
        assert pair.blocked(pair.master) == 0

    def test_an_exchange_goes_to_the_new_master_too(self, pair: Pair, stack: ExitStack) -> None:
        sentinels = pair.sentinels(stack, *[pair.master] * 3)
        store = RedisStore(StoreSettings(url=of(sentinels), **PATIENT))
        channel = store.channel("u0", "w", Filter())
        stack.callback(channel.close)
        channel.send([], ClaimRequest(1, 1, True))
        assert channel.receive().claimed == []
        for sentinel in sentinels:
            sentinel.announce(pair.other.port)
        later = RedisStore(StoreSettings(url=pair.other.url))
        later.enqueue([MESSAGE])
        number = iter(range(2, 10_000))

        def claimed() -> bool:
            channel.send([], ClaimRequest(next(number), 1, True))
            return bool(channel.receive().claimed)

        wait_until(claimed, "it claims at the new master")

    def test_a_sentinel_that_goes_ends_no_more_than_the_wait(self, pair: Pair, stack: ExitStack) -> None:
        with ExitStack() as first:
            sentinels = pair.sentinels(first, *[pair.master] * 2)
            store = RedisStore(StoreSettings(url=of(sentinels), **PATIENT))
            channel = store.channel("u0", "w", Filter())
            stack.callback(channel.close)
            descriptor = channel.start_wait()
            wait_until(lambda: sum(one.listeners for one in sentinels) == 2, "it listens")
        wait_until(lambda: _is_readable(descriptor), "the wait ends")
        with pytest.raises(StoreUnavailable, match="Sentinel has gone"):
            channel.finish_wait()


def _is_readable(descriptor: int) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(0))


SHORT: dict[str, Any] = {"timeout_s": 0.5}


class TestBadInput:
    def test_no_sentinel_reachable(self, any_store: OpenStore) -> None:
        with closed_port() as url:
            port = int(url.rpartition(":")[2].split("/")[0])
            with raises(StoreUnavailable, f"127.0.0.1:{port}", "no Sentinel names a master of 'main'", "in 0.5 s"):
                any_store(url_of(port), **SHORT).enqueue([MESSAGE])
            [warning] = open_store(StoreSettings(url=url_of(port), **SHORT)).check()
        assert f"Sentinel 127.0.0.1:{port} cannot be reached" in warning
        assert "the worker waits for it" in warning

    def test_an_unknown_service(self, pair: Pair, stack: ExitStack, any_store: OpenStore) -> None:
        sentinels = pair.sentinels(stack, *[pair.master] * 3)
        store = any_store(of(sentinels, service="mian"), timeout_s=60.0)
        with raises(UnknownService, "'mian'", "known there: 'main'", f"127.0.0.1:{sentinels[0].port}", "url"):
            store.enqueue([MESSAGE])
        with pytest.raises(UnknownService):
            open_store(store.settings).check()

    def test_one_that_has_forgotten_the_service_is_no_reason(
        self, pair: Pair, stack: ExitStack, any_store: OpenStore
    ) -> None:
        sentinels = [
            *pair.sentinels(stack, pair.master, service="other"),
            *pair.sentinels(stack, *[pair.master] * 2),
        ]
        assert any_store(of(sentinels), **PATIENT).enqueue([MESSAGE]) == [True]

    def test_a_replica_that_all_name(self, pair: Pair, stack: ExitStack, any_store: OpenStore) -> None:
        pair.demote(pair.other)
        sentinels = pair.sentinels(stack, *[pair.other] * 3)
        with raises(StoreUnavailable, f"127.0.0.1:{pair.other.port}", "is a replica", "'main'") as _:
            any_store(of(sentinels), **SHORT).enqueue([MESSAGE])

    def test_a_password_that_a_sentinel_refuses(self, pair: Pair, stack: ExitStack, any_store: OpenStore) -> None:
        sentinels = pair.sentinels(stack, *[pair.master] * 2, password="right")
        for wrong in ({}, {"password": "secret"}):
            store = any_store(of(sentinels), timeout_s=60.0, sentinel_connection=wrong)
            with raises(AccessDenied, f"127.0.0.1:{sentinels[0].port}", "sentinel_connection"):
                store.enqueue([MESSAGE])
        store = any_store(of(sentinels), **PATIENT, sentinel_connection={"password": "right"})
        assert store.enqueue([MESSAGE]) == [True]
        by_url = any_store(of(sentinels) + "?sentinel_password=right", **PATIENT)
        assert by_url.enqueue([MESSAGE]) == [False]

    def test_one_sentinel_that_refuses_is_named_at_the_start(self, pair: Pair, stack: ExitStack) -> None:
        sentinels = pair.sentinels(stack, *[pair.master] * 2)
        sentinels += pair.sentinels(stack, pair.master, password="other")
        [warning] = [
            one for one in open_store(StoreSettings(url=of(sentinels), **PATIENT)).check() if "Sentinel" in one[:9]
        ]
        assert warning.startswith(f"Sentinel 127.0.0.1:{sentinels[2].port} is of no use now")

    def test_a_password_that_the_master_refuses(self, pair: Pair, stack: ExitStack, any_store: OpenStore) -> None:
        sentinels = pair.sentinels(stack, *[pair.master] * 3)
        store = any_store(of(sentinels, account="me:secret@"), timeout_s=60.0)
        with raises(AccessDenied, f"127.0.0.1:{pair.master.port}", "refuses us") as _:
            store.enqueue([MESSAGE])

    def test_a_server_that_is_no_sentinel(self, pair: Pair, any_store: OpenStore) -> None:
        with raises(StoreUnavailable, f"127.0.0.1:{pair.master.port}", "no Sentinel"):
            any_store(url_of(pair.master.port), **SHORT).enqueue([MESSAGE])
