"""A server that is away, refuses us or is full: one clear error, soon, and never a hang."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import redis

from streamtasks import (
    AccessDenied,
    PayloadTooLarge,
    StoreFull,
    StoreUnavailable,
    StreamTasks,
    StreamTasksError,
)
from streamtasks.protocol.json import dumps
from streamtasks.protocol.state import State
from streamtasks.stores.redis import RedisStore, connections, pools
from streamtasks.stores.types import ClaimRequest, Filter, NewMessage, Revocation, Settled
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.manual_consumer import Consumer, outcome_of
from tests.support.server_dump import dump
from tests.support.unreachable import black_hole, closed_port
from tests.support.workflow_scripts import pair

if TYPE_CHECKING:
    from tests.core.conftest import AnyStore


@pytest.fixture
def app(server_url: str) -> StreamTasks:
    return StreamTasks(server_url, timeout_s=60.0, enqueue_timeout_s=60.0)


MESSAGE = NewMessage("a", "default", 0, b"{}")


@contextmanager
def at_most(seconds: float) -> Generator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


class TestAway:
    @pytest.mark.parametrize("where", [closed_port, black_hole])
    @pytest.mark.parametrize(
        "call",
        [lambda s: s.enqueue([MESSAGE]), lambda s: s.read(["a"]), lambda s: s.wait_finished(["a"], 120)],
        ids=["enqueue", "read", "wait"],
    )
    def test_a_call_fails_in_time_and_names_the_address(
        self,
        any_store: Callable[..., AnyStore],
        where: Any,
        call: Callable[[Any], object],
        bound: Callable[[float], float],
    ) -> None:
        with where() as url:
            store = any_store(url, timeout_s=0.3)
            with at_most(bound(1.5)), pytest.raises(StoreUnavailable) as caught:
                call(store)
        address = url.removeprefix("redis://").removesuffix("/0")
        assert address in str(caught.value)
        assert isinstance(caught.value, (ConnectionError, StreamTasksError))

    @pytest.mark.parametrize(("retry_time_s", "said"), [(0, "at the first try"), (0.3, "in 0.3 s")])
    def test_a_caller_may_have_less_patience(
        self, any_store: Callable[..., AnyStore], retry_time_s: float, said: str, bound: Callable[[float], float]
    ) -> None:
        with closed_port() as url:
            store = any_store(url, timeout_s=120.0)
            with at_most(bound(2.0)), pytest.raises(StoreUnavailable, match=said):
                store.enqueue([MESSAGE], retry_time_s)

    def test_a_caller_may_have_more_patience(self, any_store: Callable[..., AnyStore]) -> None:
        with closed_port() as url:
            store = any_store(url, timeout_s=0.1)
            before = time.monotonic()
            with pytest.raises(StoreUnavailable, match=r"in 0\.8 s"):
                store.enqueue([MESSAGE], 0.8)
            assert time.monotonic() - before > 0.2

    @pytest.mark.parametrize("where", [closed_port, black_hole])
    @pytest.mark.parametrize(
        ("settings", "said"), [({}, 3.0), ({"enqueue_timeout_s": 0.5}, 0.5), ({"timeout_s": 0.4}, 0.4)]
    )
    def test_enqueueing_has_a_patience_of_its_own(
        self,
        any_store: Callable[..., AnyStore],
        where: Any,
        settings: dict[str, float],
        said: float,
        bound: Callable[[float], float],
    ) -> None:
        with where() as url:
            store = any_store(url, **settings)
            with at_most(bound(said + 0.7)), pytest.raises(StoreUnavailable, match=f"in {said:g} s"):
                store.enqueue([MESSAGE])

    @pytest.mark.parametrize("where", [closed_port, black_hole])
    def test_so_has_starting_a_workflow(
        self, any_store: Callable[..., AnyStore], where: Any, bound: Callable[[float], float]
    ) -> None:
        with where() as url:
            store = any_store(url, enqueue_timeout_s=0.5)
            with at_most(bound(1.2)), pytest.raises(StoreUnavailable, match=r"in 0\.5 s"):
                store.start_workflow(pair())

    def test_a_password_is_never_in_the_message(self, any_store: Callable[..., AnyStore]) -> None:
        with closed_port() as url:
            store = any_store(url.replace("redis://", "redis://me:secret@"), timeout_s=0.1)
            with pytest.raises(StoreUnavailable) as caught:
                store.enqueue([MESSAGE])
        assert "secret" not in str(caught.value)

    def test_a_task_says_so_too(self) -> None:
        with closed_port() as url:
            app = StreamTasks(url, timeout_s=0.1)
            with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:\d+ in 0\.1 s"):
                app.task(name="t")(print).enqueue()

    @pytest.mark.parametrize("where", [closed_port, black_hole])
    def test_a_channel_says_so_and_can_go_on(self, where: Any) -> None:
        with where() as url:
            store = RedisStore(StreamTasks(url, timeout_s=0.2, connection={"socket_timeout": 0.2}).settings)
            channel = store.channel("u0", "w", Filter())
            try:
                channel.send([], ClaimRequest(1, 1, True))
                for _ in range(2):
                    with pytest.raises(StoreUnavailable):
                        channel.receive()
            finally:
                channel.close()


@pytest.fixture(scope="module")
def small_server() -> Iterator[EmbeddedServer]:
    """A server with a password; its memory limit is set by the tests."""
    with EmbeddedServer(extra_args=["--requirepass", "right"]) as server:
        yield server


@pytest.fixture
def small_url(small_server: EmbeddedServer) -> Iterator[str]:
    url = small_server.url.replace("redis://", "redis://:right@")
    with redis.Redis.from_url(url) as client:
        client.config_set("maxmemory", 0)
        client.flushall()
        yield url
        client.config_set("maxmemory", 0)


class TestRefused:
    @pytest.mark.parametrize("user", ["", ":wrong@", "nobody:wrong@"])
    def test_a_wrong_password_is_told_at_once(
        self, any_store: Callable[..., AnyStore], small_server: EmbeddedServer, user: str
    ) -> None:
        store = any_store(small_server.url.replace("redis://", f"redis://{user}"), timeout_s=5.0)
        with at_most(1), pytest.raises(AccessDenied, match=rf"127\.0\.0\.1:{small_server.port} refuses us") as caught:
            store.enqueue([MESSAGE])
        assert "wrong@" not in str(caught.value)

    def test_the_right_one_is_let_in(self, any_store: Callable[..., AnyStore], small_url: str) -> None:
        assert any_store(small_url).enqueue([MESSAGE]) == [True]

    def test_a_user_without_the_right_to_run_scripts(self, any_store: Callable[..., AnyStore], small_url: str) -> None:
        with redis.Redis.from_url(small_url) as client:
            client.execute_command("ACL", "SETUSER", "poor", "on", ">pw", "~*", "&*", "+@all", "-@scripting")
        with at_most(1), pytest.raises(AccessDenied, match=r"poor|permission"):
            any_store(small_url.replace(":right@", "poor:pw@")).enqueue([MESSAGE])


class TestFull:
    def test_a_full_server_takes_nothing_and_says_so(self, any_store: Callable[..., AnyStore], small_url: str) -> None:
        store = any_store(small_url)
        assert store.enqueue([MESSAGE]) == [True]
        with redis.Redis.from_url(small_url) as client:
            before = dump(client)
            client.config_set("maxmemory", 1)
            with at_most(1), pytest.raises(StoreFull, match=r"out of memory.*Nothing was stored"):
                store.enqueue([MESSAGE._replace(id="b"), MESSAGE._replace(id="c", due_ms=2_000_000_000_000)])
            assert dump(client) == before
            client.config_set("maxmemory", 0)
        assert store.enqueue([MESSAGE._replace(id="b")]) == [True]

    def test_work_goes_on_and_makes_room(self, small_url: str) -> None:
        app = StreamTasks(small_url)
        results = app.task(name="t")(print).enqueue_many([(n,) for n in range(3)])
        with redis.Redis.from_url(small_url) as client, Consumer(app.store) as hand:
            client.config_set("maxmemory", 1)
            [first] = hand.claim(1)
            assert hand.settle(outcome_of(first, "SUCCESS", dumps({"r": 5}))) == [Settled.DONE]
            [second] = hand.claim(1)
            assert hand.settle(outcome_of(second, "RETRY")) == [Settled.DONE]
            assert len(hand.claim()) == 2
        assert results[0].get(timeout=1) == 5
        assert results[1].state == State.RETRY

    def test_what_waits_can_be_revoked(self, any_store: Callable[..., AnyStore], small_url: str) -> None:
        store = any_store(small_url)
        store.enqueue([MESSAGE])
        with redis.Redis.from_url(small_url) as client:
            client.config_set("maxmemory", 1)
            assert store.revoke(MESSAGE.id) is Revocation.GONE


class TestTooLarge:
    def test_arguments(self, app: StreamTasks) -> None:
        task = StreamTasks(app.settings.url, max_payload_bytes=1000).task(name="t")(print)
        with pytest.raises(PayloadTooLarge, match="max_payload_bytes is 1000"):
            task.enqueue("x" * 1000)

    def test_one_of_many_keeps_all_out(self, app: StreamTasks) -> None:
        task = StreamTasks(app.settings.url, max_payload_bytes=1000).task(name="t")(print)
        with pytest.raises(PayloadTooLarge):
            task.enqueue_many([("small",), ("x" * 1000,)])
        with redis.Redis.from_url(app.settings.url) as client:
            assert dump(client) == {}


def test_connections_are_never_retried_by_the_library() -> None:
    """It would run writes again without knowing whether that is safe."""
    settings = StreamTasks("redis://127.0.0.1:1/0", connection={"retry_on_timeout": True}).settings
    for retry in (
        connections.new_connection(settings).retry,
        pools.sync_pool(settings).borrow().retry,
    ):
        assert retry.get_retries() == 0
