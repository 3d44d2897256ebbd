"""The server did it and the reply was lost: nothing happens twice, and nothing gets stuck."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import redis

from streamtasks import StoreSettings, StoreUnavailable
from streamtasks.protocol.keys import Keys
from streamtasks.stores.redis import AsyncRedisStore, RedisStore
from streamtasks.stores.types import ClaimRequest, Exchange, Filter, NewMessage, Outcome, Settled
from streamtasks.stores.workflow_types import FanIn, NewWorkflow, Node
from tests.support.lossy_proxy import LossyProxy
from tests.support.manual_consumer import Consumer, outcome_of
from tests.support.schedule_samples import FAR_MS, firing, schedule
from tests.support.server_dump import dump

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamtasks.stores.channel import Channel
    from tests.core.conftest import AnyStore


@pytest.fixture
def proxy(server_url: str) -> Iterator[LossyProxy]:
    with LossyProxy(urlsplit(server_url).port or 0) as standing:
        yield standing


def message(n: int) -> NewMessage:
    return NewMessage(f"{n:04}", "default", 0, b"{}")


def test_a_hundred_lost_replies_to_enqueue_make_no_duplicate(
    embedded_url: str, any_store: Callable[..., AnyStore]
) -> None:
    with LossyProxy(urlsplit(embedded_url).port or 0) as proxy:
        store = any_store(proxy.url, timeout_s=60.0, enqueue_timeout_s=60.0)
        store.enqueue([message(0)])  # so that the server knows the script
        for n in range(1, 101):
            proxy.lose(1)
            store.enqueue([message(n)])
        assert proxy.lost == 100
    with redis.Redis.from_url(embedded_url) as client:
        keys = Keys("streamtasks:", "u0")
        assert client.xlen(keys.stream("0:default")) == client.hlen(keys.messages) == 101


def test_several_lost_in_a_row(server_url: str, proxy: LossyProxy, any_store: Callable[..., AnyStore]) -> None:
    store = any_store(proxy.url, timeout_s=60.0, enqueue_timeout_s=60.0)
    store.enqueue([message(0)])
    proxy.lose(4)
    messages = [message(n) for n in range(1, 251)]
    assert len(store.enqueue(messages)) == 250
    assert store.enqueue(messages) == [False] * 250
    with redis.Redis.from_url(server_url) as client:
        assert client.xlen(Keys("streamtasks:", "u0").stream("0:default")) == 251


def test_a_workflow_whose_replies_are_lost_starts_once(
    server_url: str, proxy: LossyProxy, any_store: Callable[..., AnyStore]
) -> None:
    store = any_store(proxy.url, timeout_s=60.0, enqueue_timeout_s=60.0)
    store.start_workflow(NewWorkflow("first", [Node(message(0)._replace(id="first.w0"))], 1, (), b"{}"))
    nodes = [Node(message(0)._replace(id=f"wf.w{n}"), "", f"g0.{n}") for n in range(250)]
    nodes.append(Node(message(0)._replace(id="wf.w250"), "wf", "-"))
    new = NewWorkflow("wf", nodes, 250, [FanIn(250, 250, first=250, last=250)], b"{}")
    for _ in range(3):
        proxy.lose(3)
        store.start_workflow(new)
    assert store.workflow("wf").nodes == 251
    with redis.Redis.from_url(server_url) as client:
        keys = Keys("streamtasks:", "u0")
        assert client.xlen(keys.stream("0:default")) == 251
        assert client.hlen(keys.messages) == 252


async def test_an_occurrence_whose_replies_are_lost_is_fired_once(proxy: LossyProxy) -> None:
    store = AsyncRedisStore(StoreSettings(url=proxy.url, timeout_s=60.0, enqueue_timeout_s=60.0))
    for turn in range(3):
        proxy.lose(2 * turn)  # at first none, so that the server knows the scripts
        name = f"tick{turn}"
        await store.put_schedule(schedule(name), 0)
        [due] = (await store.due_schedules("u0")).due
        proxy.lose(2 * turn)
        await store.fire("u0", [firing(due, times=(1, 2, 3))])
        [found] = await store.schedules([name])
        assert found is not None
        assert (found.fired, found.next_ms) == (3, FAR_MS)
    assert proxy.lost >= 6


def test_a_lost_reply_to_a_read_is_read_again(proxy: LossyProxy, any_store: Callable[..., AnyStore]) -> None:
    store = any_store(proxy.url, timeout_s=60.0, enqueue_timeout_s=60.0)
    store.enqueue([message(0)])
    store.read(["0000"])
    proxy.lose(2)
    assert store.read(["0000"])[0].id == "0000"


def test_replies_lost_until_the_deadline_are_an_error_and_the_call_may_be_repeated(
    server_url: str, proxy: LossyProxy, any_store: Callable[..., AnyStore]
) -> None:
    store = any_store(proxy.url, timeout_s=0.2)
    store.enqueue([message(0)])
    proxy.lose(1000)
    with pytest.raises(StoreUnavailable):
        store.enqueue([message(1)])
    proxy.lose(0)
    assert store.enqueue([message(1)]) == [False]


class PatientHand(Consumer):
    """Goes on receiving until the reply comes, as a child does."""

    def exchange(self, outcomes: Sequence[Outcome], claim: ClaimRequest | None) -> Exchange:
        self.channel.send(outcomes, claim)
        for _ in range(20):
            try:
                return self.channel.receive()
            except StoreUnavailable:
                continue
        raise AssertionError("no reply in twenty tries")


class TestChannel:
    @pytest.fixture
    def hand(self, proxy: LossyProxy) -> Iterator[PatientHand]:
        hand = PatientHand(RedisStore(StoreSettings(url=proxy.url)))
        with hand:
            yield hand

    def test_a_claim_brings_the_same_messages(self, server_url: str, proxy: LossyProxy, hand: PatientHand) -> None:
        store = RedisStore(StoreSettings(url=server_url))
        store.enqueue([message(n) for n in range(10)])
        assert len(hand.claim(1)) == 1  # so that the server knows the scripts, and the child the streams
        proxy.lose(3)
        assert [c.id for c in hand.claim(4)] == ["0001", "0002", "0003", "0004"]
        assert proxy.lost == 3
        assert [c.id for c in hand.claim(100)] == [f"{n:04}" for n in range(5, 10)]

    def test_outcomes_are_recorded_once(self, server_url: str, proxy: LossyProxy, hand: PatientHand) -> None:
        store = RedisStore(StoreSettings(url=server_url))
        store.enqueue([message(n) for n in range(4)])
        first, second, *others = hand.claim()
        hand.settle(outcome_of(first, "SUCCESS", b"{}"))
        proxy.lose(2)
        outcomes = [outcome_of(second, "RETRY"), *(outcome_of(c, "SUCCESS", b"{}") for c in others)]
        assert hand.settle(*outcomes) == [Settled.ALREADY] * 3
        with redis.Redis.from_url(server_url) as client:
            left = dump(client, "streamtasks:{u0}:")
        assert {name: n for name, n in left["totals"].items() if name != "ms"} == {"SUCCESS": "3", "RETRY": "1"}
        assert left["q:0:default"].entries == ["0001"]
        assert not {"leases", "batches", "running"} & set(left)

    def test_settling_and_claiming_in_one_packet(self, server_url: str, proxy: LossyProxy, hand: PatientHand) -> None:
        store = RedisStore(StoreSettings(url=server_url))
        count = 60
        store.enqueue([message(n) for n in range(count)])
        run: list[str] = []
        in_hand = hand.claim(5)
        hand.exchange([], None)
        while in_hand:
            run += [c.id for c in in_hand]
            proxy.lose(len(run) % 3)
            outcomes = [outcome_of(c, "SUCCESS", b"{}") for c in in_hand]
            hand.sequence += 1
            answer = hand.exchange(outcomes, ClaimRequest(hand.sequence, 5, False))
            assert Settled.STALE not in answer.settled
            in_hand = answer.claimed
        assert run == [f"{n:04}" for n in range(count)]
        with redis.Redis.from_url(server_url) as client:
            left = dump(client, "streamtasks:{u0}:")
        assert left["totals"]["SUCCESS"] == str(count)
        assert not {"messages", "state", "leases", "batches", "running", "ready", "dead"} & set(left)


class TestClaimBehindAWait:
    """The server runs the claim at the moment the list rings; its reply may be lost as any other."""

    @pytest.fixture
    def channel(self, proxy: LossyProxy) -> Iterator[Channel]:
        channel = RedisStore(StoreSettings(url=proxy.url)).channel("u0", "hand", Filter())
        yield channel
        channel.close()

    @staticmethod
    def woken(channel: Channel, claim: ClaimRequest | None = None) -> Exchange | None:
        assert select.select([channel.start_wait(claim)], [], [], 60)[0]
        return channel.finish_wait()

    def test_what_comes_is_claimed_with_the_ring(self, server_url: str, channel: Channel) -> None:
        store = RedisStore(StoreSettings(url=server_url))
        for sequence in range(1, 4):
            fd = channel.start_wait(ClaimRequest(sequence, 100, True))
            assert not select.select([fd], [], [], 0.02)[0]
            store.enqueue([message(sequence)])
            exchange = self.woken(channel)
            assert exchange is not None
            assert [(c.id, c.token) for c in exchange.claimed] == [(f"{sequence:04}", f"hand#{sequence}")]

    def test_a_wait_may_get_its_claim_later(self, server_url: str, channel: Channel) -> None:
        fd = channel.start_wait()
        assert channel.start_wait(ClaimRequest(1, 1, True)) == fd
        assert channel.start_wait() == channel.start_wait(ClaimRequest(1, 1, True)) == fd
        RedisStore(StoreSettings(url=server_url)).enqueue([message(1)])
        exchange = self.woken(channel)
        assert exchange is not None
        assert [c.id for c in exchange.claimed] == ["0001"]
        assert channel.finish_wait() is None

    def test_a_lost_reply_is_asked_for_by_its_sequence(
        self, server_url: str, proxy: LossyProxy, channel: Channel
    ) -> None:
        store = RedisStore(StoreSettings(url=server_url))
        store.enqueue([message(0)])
        assert self.woken(channel, ClaimRequest(1, 100, True))  # so that the child knows the streams
        proxy.lose(1)
        fd = channel.start_wait(ClaimRequest(2, 100, True))
        store.enqueue([message(n) for n in range(1, 4)])
        assert select.select([fd], [], [], 60)[0]
        with pytest.raises(StoreUnavailable):
            channel.finish_wait()
        channel.send((), ClaimRequest(2, 100, True))
        assert [c.id for c in channel.receive().claimed] == ["0001", "0002", "0003"]

    def test_a_wait_ends_in_time_for_its_lease_and_looks(
        self, server_url: str, bound: Callable[[float], float]
    ) -> None:
        store = RedisStore(StoreSettings(url=server_url, lease_s=1.0))
        channel = store.channel("u0", "hand", Filter())
        store.enqueue([message(1)])
        with redis.Redis.from_url(server_url) as client:
            client.delete(Keys("streamtasks:", "u0").wake)  # the ring is lost
        began = time.monotonic()
        exchange = self.woken(channel, ClaimRequest(1, 1, True))
        assert exchange is not None
        assert [c.id for c in exchange.claimed] == ["0001"]
        assert 0.2 < time.monotonic() - began < bound(1.0)
        channel.close()
