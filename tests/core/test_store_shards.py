"""One child on several shards: each claim says to which shard it goes, and outcomes find theirs by themselves."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis

from streamtasks import ConfigurationError, StoreSettings
from streamtasks.protocol.shards import new_id
from streamtasks.stores.factory import open_store, open_supervisor_store
from streamtasks.stores.schedule_store import NewSchedule, PutResult
from streamtasks.stores.types import ClaimId, ClaimRequest, Filter, Settled
from tests.core.test_store import new
from tests.support.manual_consumer import outcome_of
from tests.support.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streamtasks.stores.types import Claimed, Exchange

TAGS = ("u0", "dj", "ha")


class Child:
    """A child on all shards of a store."""

    def __init__(self, url: str, consumer: str = "w-1", queues: Filter | None = None) -> None:
        self.settings = StoreSettings(url=url, tags=TAGS, timeout_s=60.0, enqueue_timeout_s=60.0)
        self.store = open_store(self.settings)
        self.channel = self.store.channel("u0", consumer, queues or Filter())
        self._sequence = 0

    def exchange(self, outcomes: Sequence[Any], tag: str = "", most: int = 10, **request: Any) -> Exchange:
        self._sequence += bool(tag)
        claim = ClaimRequest(self._sequence, most, alone=True, tag=tag)._replace(**request) if tag else None
        self.channel.send(outcomes, claim)
        return self.channel.receive()

    def claim(self, tag: str, most: int = 10, **request: Any) -> list[Claimed]:
        return self.exchange((), tag, most, **request).claimed

    def enqueue(self, tag: str, count: int = 1, **changes: Any) -> list[str]:
        messages = [new(new_id((tag,)), **changes) for _ in range(count)]
        assert self.store.enqueue(messages) == [True] * count
        return [message.id for message in messages]


@pytest.fixture
def child(store_url: str) -> Iterator[Child]:
    made = Child(store_url)
    yield made
    made.channel.close()


def keeper(child: Child, call: str, *args: Any, **kwargs: Any) -> Any:
    async def ask() -> Any:
        return await getattr(open_supervisor_store(child.settings), call)(*args, **kwargs)

    return asyncio.run(ask())


def test_outcomes_of_several_shards_go_out_together(child: Child) -> None:
    ids = {tag: child.enqueue(tag, 3) for tag in TAGS}
    claimed = {tag: child.claim(tag) for tag in TAGS}
    assert {tag: [c.id for c in some] for tag, some in claimed.items()} == ids
    mixed = [claimed[tag][place] for place in range(2) for tag in TAGS]
    outcomes = [outcome_of(c, "SUCCESS", b"{}") for c in mixed]
    outcomes.insert(2, outcomes[1]._replace(token="w-1#77"))
    expected = [Settled.DONE] * 7
    expected[2] = Settled.STALE
    later = child.enqueue("dj")
    exchange = child.exchange(outcomes, "dj")
    assert exchange.settled == expected, "in the order of the outcomes"
    assert [c.id for c in exchange.claimed] == later
    rest = [claimed[tag][2] for tag in TAGS]
    assert child.exchange([outcome_of(c, "SUCCESS", b"{}") for c in rest]).settled == [Settled.DONE] * 3


def test_a_claim_ends_on_its_shard_when_it_is_empty(child: Child) -> None:
    for tag in TAGS:
        child.enqueue(tag, 2)
    claimed = {tag: child.claim(tag) for tag in TAGS}
    for place in range(2):
        child.exchange([outcome_of(claimed[tag][place], "SUCCESS", b"{}") for tag in TAGS])
    for tag in TAGS:
        assert keeper(child, "renew", tag, [claimed[tag][0].token]) == [False], "nobody holds anything by it"


def test_the_answer_says_what_is_left(child: Child) -> None:
    child.enqueue("dj", 2, priority=5)
    child.enqueue("dj", 1, priority=-100)
    assert child.exchange((), "u0").left is None
    assert child.exchange((), "dj", 1).left == 5
    assert child.exchange((), "dj", 1).left == -100
    assert child.exchange((), "dj", 1).left is None
    child.enqueue("dj", 1, priority=100)
    assert child.exchange((), "dj", 0).left == 100
    assert child.exchange((), "dj", 100).left is None


def test_what_is_worse_than_another_shard_has_is_left(child: Child) -> None:
    best = child.enqueue("dj", 2, priority=5)
    worse = child.enqueue("dj", 2, priority=1)
    assert [c.id for c in child.claim("dj", least=2)] == best
    exchange = child.exchange((), "dj", least=2)
    assert not exchange.claimed
    assert exchange.left == 1
    assert not exchange.again
    assert [c.id for c in child.claim("dj", least=1)] == worse
    assert child.exchange((), "dj", least=100).left is None


@pytest.mark.parametrize(
    ("queues", "best"),
    [
        (Filter(), [3, None, -7]),
        (Filter("only", ("mail",)), [None, None, -7]),
        (Filter("only", ("none", "mail", "default")), [3, None, -7]),
        (Filter("except", ("default",)), [None, None, -7]),
    ],
    ids=str,
)
def test_what_is_ready_of_the_queues_that_are_served(child: Child, queues: Filter, best: list[int | None]) -> None:
    child.enqueue("u0", priority=3)
    child.enqueue("u0", priority=2)
    child.enqueue("ha", priority=-7, queue="mail")
    assert keeper(child, "ready", queues, TAGS) == dict(zip(TAGS, best, strict=True))
    assert keeper(child, "ready", queues, TAGS[2:]) == {"ha": best[2]}
    served = Child(child.settings.url, "w-2", queues)
    for tag, left in zip(TAGS, best, strict=True):
        assert served.exchange((), tag, 0).left == left
    served.channel.close()


def test_a_suspect_is_left_if_the_worker_may_have_one(child: Child) -> None:
    """And it is not reserved either: another worker may take it at once."""
    [task_id] = child.enqueue("dj")
    [claimed] = child.claim("dj")
    keeper(child, "hand_back", "dj", [claimed], alone={task_id})
    for alone in (True, False):
        looked = child.exchange((), "dj", alone=alone, suspects=False)
        assert (looked.claimed, looked.suspects, looked.again, looked.left) == ([], False, False, 0)
    other = Child(child.settings.url, "v-1")
    exchange = other.exchange((), "dj")
    assert ([c.id for c in exchange.claimed], exchange.run_alone) == ([task_id], True)
    other.channel.close()


def test_a_claim_that_was_given_up_is_void_on_its_shard(child: Child) -> None:
    child.enqueue("dj")
    keeper(child, "hand_back", "dj", [], invalidate=ClaimId("w-1", 1))
    assert child.claim("dj") == []
    assert len(child.claim("dj")) == 1


async def heard(pushes: Any) -> tuple[str, str]:
    async with asyncio.timeout(DEADLINE_S):
        push: tuple[str, str] = await anext(pushes)
        return push


async def test_listeners_are_told_once_until_somebody_has_claimed(store_url: str) -> None:
    child = Child(store_url, "w-1")
    store = open_supervisor_store(child.settings)
    await store.ready(Filter(), TAGS)  # from now on somebody listens
    pushes: Any = store.listen(Filter())
    assert await heard(pushes) == ("", "subscribed")
    child.enqueue("dj")
    assert await heard(pushes) == ("dj", "wake")
    child.enqueue("dj", priority=1)  # another stream; nobody has come for the first
    child.enqueue("ha")
    if not child.settings.is_memory:
        assert await heard(pushes) == ("ha", "wake")
        assert len(child.claim("dj", 1)) == 1
        assert await heard(pushes) == ("dj", "wake"), "something is left"
        assert len(child.claim("dj", 2)) == 1
        child.enqueue("dj")
        assert await heard(pushes) == ("dj", "wake")
    await pushes.aclose()
    child.channel.close()


async def test_only_the_queues_that_are_served_wake(store_url: str) -> None:
    queues = Filter("only", ("mail",))
    child = Child(store_url, "w-1", queues)
    store = open_supervisor_store(child.settings)
    await store.ready(queues, TAGS)
    pushes: Any = store.listen(queues)
    assert await heard(pushes) == ("", "subscribed")
    child.enqueue("dj")
    child.enqueue("dj", queue="mail")
    assert await heard(pushes) == ("dj", "wake")
    assert len(child.claim("dj", 10)) == 1
    await pushes.aclose()
    child.channel.close()


def test_streams_met_on_one_shard_are_brought_to_the_others(server_url: str) -> None:
    """Else the first claim and the first promotion on each shard would take two round trips."""
    child = Child(server_url)

    def sent() -> int:
        stats: Any = client.info("commandstats")
        return int(stats["cmdstat_evalsha"]["calls"])

    async def promote() -> list[int]:
        store = open_supervisor_store(child.settings)
        counts = []
        for tag in ("u0", "dj"):
            before = sent()
            assert (await store.promote(tag)).promoted == 1
            counts.append(sent() - before)
        return counts

    with redis.Redis.from_url(server_url) as client:
        for tag in ("u0", "dj"):
            child.enqueue(tag)
            child.enqueue(tag, delay_ms=1)
        time.sleep(0.02)  # they are due then by the server's clock, however busy the machine is
        assert asyncio.run(promote())[1] == 1
        assert len(child.claim("u0")) == 2
        before = sent()
        assert len(child.claim("dj")) == 2
        assert sent() - before == 1
    child.channel.close()


def test_a_list_of_shards_that_disagrees(server_url: str, any_store: Any) -> None:
    first = any_store(server_url, tags=TAGS)
    assert first.enqueue([new(new_id(TAGS))]) == [True]
    any_store(server_url, tags=TAGS).statistics()
    for others in (TAGS[:2], ("u0",), ("u0", "dj", "qp", "ha"), ("dj", "u0", "ha")):
        with pytest.raises(
            ConfigurationError,
            match=rf"tags are {', '.join(others)}, but .* over u0, dj, ha: give these, in this order, and new ones",
        ):
            any_store(server_url, tags=others).enqueue([new("a")])
        with pytest.raises(ConfigurationError, match="are spread over u0, dj, ha"):
            open_store(StoreSettings(url=server_url, tags=others)).check()
    assert any_store(server_url, tags=TAGS).read(["a"]) == [None]
    any_store(server_url, tags=TAGS[:2], key_prefix="other:").statistics()


@pytest.mark.parametrize("before", [TAGS[:1], TAGS[:2]])
def test_names_stay_where_they_are_when_shards_are_added(
    server_url: str, any_store: Any, before: tuple[str, ...]
) -> None:
    """Ids of users, schedules and limits, which do not say where they live."""
    ids = [f"order-{n}" for n in range(20)]
    old = any_store(server_url, tags=before)
    assert old.enqueue([new(one) for one in ids]) == [True] * 20
    assert old.put_schedule(NewSchedule("daily", b"", "a", 1), 0) is PutResult.STORED
    for grown in (TAGS, (*TAGS, "qp")):
        store = any_store(server_url, tags=grown)
        assert store.enqueue([new(one) for one in ids]) == [False] * 20, "the first call knows it already"
        assert [found.id for found in store.read(ids)] == ids
        assert [one and one.name for one in store.schedules(["daily"])] == ["daily"]
        later = [new(new_id(grown[len(before) :])) for _ in range(10)]
        assert store.enqueue(later) == [True] * 10
    with pytest.raises(ConfigurationError, match=r"tags are u0, dj, ha, but .* are spread over u0, dj, ha, qp"):
        any_store(server_url, tags=TAGS).statistics()
