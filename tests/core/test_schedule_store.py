"""Schedules in every kind of store: they answer the same, on one shard and on many, and agree with each other."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from streamtasks import StoreSettings
from streamtasks.exceptions import StoreFull
from streamtasks.protocol.shards import ALL_TAGS, schedule_tag
from streamtasks.protocol.state import State
from streamtasks.stores.factory import open_supervisor_store
from streamtasks.stores.schedule_store import PutResult, StoredSchedule
from tests.support.schedule_samples import FAR_MS, PAST_MS, declared, firing, occurrence, schedule
from tests.support.sql_stores import notifies
from tests.support.store_pair import StorePair, same

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.core.conftest import AnyStore

TAG = "u0"
TAGS = ALL_TAGS[:16]


class TestKept:
    def test_a_life(self, store: AnyStore) -> None:
        assert store.schedules(["tick"]) == [None]
        assert store.put_schedule(schedule(definition=b"one"), 0) is PutResult.STORED
        assert store.put_schedule(schedule(definition=b"one"), 0) is PutResult.UNCHANGED
        assert store.put_schedule(schedule(definition=b"two"), 0) is PutResult.CONFLICT
        [found] = store.schedules(["tick"])
        assert found == StoredSchedule("tick", found.revision, b"one", "", False, PAST_MS, 0, 0, 0, "")
        assert store.put_schedule(schedule(definition=b"two", next_ms=5), found.revision) is PutResult.STORED
        assert store.put_schedule(schedule(definition=b"three"), found.revision) is PutResult.CONFLICT
        [changed] = store.schedules(["tick"])
        assert changed.revision > found.revision
        assert changed == found._replace(revision=changed.revision, definition=b"two"), "the rule has not changed"
        assert store.put_schedule(schedule(next_ms=5, rule="new"), changed.revision) is PutResult.STORED
        assert store.schedules(["tick"])[0].next_ms == 5
        assert store.delete_schedule("tick") is True
        assert store.delete_schedule("tick") is False
        assert store.schedules(["tick"]) == [None]

    def test_pausing(self, store: AnyStore) -> None:
        assert store.pause_schedule("tick", None) is False
        store.put_schedule(schedule(), 0)
        assert store.pause_schedule("tick", None) is True
        assert (store.schedules(["tick"])[0].paused, store.schedules(["tick"])[0].next_ms) == (True, PAST_MS)
        assert store.pause_schedule("tick", 77) is True
        assert store.pause_schedule("tick", 99) is True, "it goes on already"
        assert (store.schedules(["tick"])[0].paused, store.schedules(["tick"])[0].next_ms) == (False, 77)

    def test_hundreds_in_the_order_of_their_names(self, store_url: str, any_store: Callable[..., AnyStore]) -> None:
        store = any_store(store_url, tags=TAGS)
        names = [f"s{number:03}" for number in range(250)]
        for name in reversed(names):
            store.put_schedule(schedule(name), 0)
        assert [found.name for found in store.list_schedules(1000)] == names
        assert [found.name for found in store.list_schedules()] == names[:100]
        assert [found.name for found in store.list_schedules(120, names[99])] == names[100:220]
        assert store.list_schedules(10, names[-1]) == []
        assert [found and found.name for found in store.schedules([*names[::-1], "none", "s000"])] == [
            *names[::-1],
            None,
            "s000",
        ]

    def test_large_ones_are_read_in_parts(self, store: AnyStore) -> None:
        for number in range(5):
            store.put_schedule(schedule(f"s{number}", definition=b"x" * 600_000), 0)
        assert [len(found.definition) for found in store.list_schedules()] == [600_000] * 5
        assert [found.name for found in store.list_schedules(3)] == ["s0", "s1", "s2"]
        assert [found.name for found in store.schedules([f"s{number}" for number in range(5)])] == [
            f"s{number}" for number in range(5)
        ]

    def test_names_that_are_no_names_elsewhere(self, store: AnyStore) -> None:
        for name in ("ünï cödé", "{braces}", "a\nb", "\U0001f4c6"):
            store.put_schedule(schedule(name), 0)
        assert sorted(found.name for found in store.list_schedules()) == [
            found.name for found in store.list_schedules()
        ]
        assert len(store.list_schedules()) == 4


@pytest.fixture
async def keeper(store_url: str) -> Any:
    """A supervisor's store, empty."""
    return open_supervisor_store(StoreSettings(url=store_url, timeout_s=60.0))


class TestDeclared:
    async def test_what_changed_is_stored_and_what_went_is_forgotten(self, keeper: Any) -> None:
        assert await keeper.declare_schedules(TAG, [declared("a", 5), declared("b", 5)]) == [PutResult.STORED] * 2
        assert await keeper.declare_schedules(TAG, [declared("a", 6), declared("c", 6)]) == [
            PutResult.UNCHANGED,
            PutResult.STORED,
        ]
        assert await keeper.undeclare_schedules(TAG, "shop") == []
        await asyncio.sleep(1.6)
        await keeper.declare_schedules(TAG, [declared("a", 6), declared("c", 6)])
        assert await keeper.undeclare_schedules(TAG, "other", 1500) == []
        assert await keeper.undeclare_schedules(TAG, "shop", 1500) == ["b"]
        assert [(found.name, found.declared) for found in await keeper.list_schedules()] == [
            ("a", "shop"),
            ("c", "shop"),
        ]

    async def test_hundreds(self, keeper: Any) -> None:
        many = [declared(f"s{number}", 5) for number in range(250)]
        assert await keeper.declare_schedules(TAG, many) == [PutResult.STORED] * 250
        assert len(await keeper.undeclare_schedules(TAG, "shop", -1000)) == 250
        assert await keeper.list_schedules() == []

    async def test_none(self, keeper: Any) -> None:
        assert await keeper.declare_schedules(TAG, []) == []
        assert await keeper.undeclare_schedules(TAG, "shop") == []

    async def test_a_release_counts_from_when_it_came_first(self, keeper: Any) -> None:
        async def declare(since_ms: int, release: str) -> PutResult:
            [put] = await keeper.declare_schedules(
                TAG, [declared("a", since_ms, release=release, definition=release.encode())]
            )
            return PutResult(put)

        assert await declare(5, "r1") is PutResult.STORED
        assert await declare(6, "r2") is PutResult.STORED
        assert await declare(7, "r1") is PutResult.CONFLICT, "an old one that restarts during a roll-out"
        assert await declare(8, "r2") is PutResult.UNCHANGED

    async def test_a_declared_one_may_be_paused_and_stays_so(self, keeper: Any) -> None:
        await keeper.declare_schedules(TAG, [declared("a", 5)])
        await keeper.pause_schedule("a", None)
        assert await keeper.declare_schedules(TAG, [declared("a", 6, rule="new", next_ms=7)]) == [PutResult.STORED]
        [found] = await keeper.schedules(["a"])
        assert (found.paused, found.next_ms) == (True, 7)


class TestFired:
    async def test_nothing_is_due(self, keeper: Any) -> None:
        now_ms, due, next_ms = await keeper.due_schedules(TAG)
        assert now_ms > PAST_MS
        assert (due, next_ms) == ([], None)

    async def test_a_due_one_brings_its_messages_once(self, keeper: Any) -> None:
        await keeper.put_schedule(schedule(definition=b"what"), 0)
        [due] = (await keeper.due_schedules(TAG)).due
        assert due == ("tick", due.revision, b"what", PAST_MS)
        brought = firing(due, times=(PAST_MS, PAST_MS + 1000), missed=3)
        assert await keeper.fire(TAG, [brought]) == [True]
        assert await keeper.fire(TAG, [brought]) == [False]
        [found] = await keeper.schedules(["tick"])
        last = brought.messages[-1]
        assert found[5:] == (FAR_MS, 2, 3, PAST_MS + 1000, last.id)
        assert [s and s.state for s in await keeper.read([m.id for m in brought.messages])] == [State.QUEUED] * 2
        left = await keeper.due_schedules(TAG)
        assert left.due == []
        assert left.next_ms == FAR_MS - left.now_ms

    async def test_hundreds_are_due(self, keeper: Any) -> None:
        for number in range(150):
            await keeper.put_schedule(schedule(f"s{number:03}", PAST_MS + number), 0)
        first = await keeper.due_schedules(TAG)
        assert [due.name for due in first.due] == [f"s{number:03}" for number in range(100)]
        assert first.next_ms == 0
        firings = [firing(due, times=range(due.next_ms, due.next_ms + 3)) for due in first.due]
        assert await keeper.fire(TAG, firings) == [True] * 100
        rest = await keeper.due_schedules(TAG)
        assert [due.name for due in rest.due] == [f"s{number:03}" for number in range(100, 150)]
        assert rest.next_ms == FAR_MS - rest.now_ms

    async def test_one_that_is_passed_over_holds_nobody_up(self, keeper: Any) -> None:
        for name in "abc":
            await keeper.put_schedule(schedule(name), 0)
        a, b, _ = (await keeper.due_schedules(TAG)).due
        passed = {"a": a.revision, "b": b.revision}
        assert [due.name for due in (await keeper.due_schedules(TAG, passed)).due] == ["c"]
        await keeper.put_schedule(schedule("b", definition=b"mended"), b.revision)
        assert [due.name for due in (await keeper.due_schedules(TAG, passed)).due] == ["b", "c"]

    async def test_what_was_seen_before_a_change_is_not_fired(self, keeper: Any) -> None:
        await keeper.put_schedule(schedule(), 0)
        [due] = (await keeper.due_schedules(TAG)).due
        await keeper.pause_schedule("tick", None)
        assert (await keeper.due_schedules(TAG)).due == []
        assert await keeper.fire(TAG, [firing(due)]) == [False]
        await keeper.pause_schedule("tick", FAR_MS)
        assert await keeper.fire(TAG, [firing(due._replace(next_ms=FAR_MS))]) == [False], "never early"
        await keeper.delete_schedule("tick")
        await keeper.put_schedule(schedule(), 0)
        assert await keeper.fire(TAG, [firing(due)]) == [False], "it is another one of that name"

    async def test_many_at_once_fire_one(self, keeper: Any) -> None:
        await keeper.put_schedule(schedule(), 0)
        [due] = (await keeper.due_schedules(TAG)).due
        answers = await asyncio.gather(*(keeper.fire(TAG, [firing(due)]) for _ in range(20)))
        assert sum(fired for [fired] in answers) == 1

    async def test_a_new_one_is_told(self, keeper: Any, store_url: str) -> None:
        told = keeper.listen()
        assert (await anext(told))[1] == "subscribed"
        await keeper.put_schedule(schedule(), 0)
        while await anext(told) != (TAG, "schedule"):
            assert not notifies(store_url), "only a database without notifications has all roles look"
        await keeper.pause_schedule("tick", None)
        await keeper.pause_schedule("tick", 5)
        while await anext(told) != (TAG, "schedule"):
            assert not notifies(store_url)
        await told.aclose()

    async def test_a_shard_page_by_page(self, keeper: Any) -> None:
        names = [f"s{number:03}" for number in range(250)]
        for name in names:
            await keeper.put_schedule(schedule(name), 0)
        pages, after = [], ""
        while page := await keeper.shard_schedules(TAG, after):
            pages.append([one.name for one in page])
            after = page[-1].name
        assert pages == [names[:100], names[100:200], names[200:]]

    async def test_on_the_shard_of_its_name(self, store_url: str) -> None:
        keeper: Any = open_supervisor_store(StoreSettings(url=store_url, tags=TAGS))
        await keeper.put_schedule(schedule("elsewhere"), 0)
        tag = schedule_tag("elsewhere", TAGS)
        for other in TAGS:
            assert len((await keeper.due_schedules(other)).due) == (other == tag)
        [due] = (await keeper.due_schedules(tag)).due
        assert await keeper.fire(tag, [firing(due, tag=tag)]) == [True]
        assert (await keeper.schedules(["elsewhere"]))[0].fired == 1


async def test_a_full_memory_keeps_the_occurrence_due() -> None:
    keeper: Any = open_supervisor_store(StoreSettings(url="memory://small?max_tasks=1"))
    await keeper.put_schedule(schedule(), 0)
    [due] = (await keeper.due_schedules(TAG)).due
    with pytest.raises(StoreFull):
        await keeper.fire(TAG, [firing(due, times=(1, 2))])
    assert (await keeper.due_schedules(TAG)).due == [due]


# -- the model -----------------------------------------------------------------------------------------

NAMES = ["a", "b", "c"]
number = itertools.count()
names = st.sampled_from(NAMES)
times = st.sampled_from([None, PAST_MS, PAST_MS + 1, PAST_MS + 2, FAR_MS])
definitions = st.sampled_from([b"one", b"two"])
rules = st.sampled_from(["each hour", "each day"])


class Lives(RuleBasedStateMachine):
    """Random lives of schedules on a server and in memory, side by side."""

    url = ""

    @initialize()
    def begin(self) -> None:
        self.pair = StorePair(self.url, key_prefix=f"schedules{next(number)}:")
        self.seen: list[Any] = []

    def teardown(self) -> None:
        if hasattr(self, "pair"):
            self.pair.__exit__()

    @rule(name=names, next_ms=times, definition=definitions, rule=rules, back=st.integers(-1, 2))
    def put(self, name: str, next_ms: int | None, definition: bytes, rule: str, back: int) -> None:
        [known] = self.pair.model.schedules([name])
        revision = max(0, known.revision - back) if known is not None and back >= 0 else 0
        new = schedule(name, next_ms, definition, rule=rule)
        same(self.pair.real.put_schedule(new, revision), self.pair.model.put_schedule(new, revision))

    @rule(
        some=st.lists(names, max_size=3, unique=True),
        next_ms=times,
        definition=definitions,
        rule=rules,
        since_ms=st.integers(1, 4),
        label=st.sampled_from(["shop", "other"]),
        release=st.sampled_from(["", "r1", "r2"]),
    )
    def declare(
        self,
        some: list[str],
        next_ms: int | None,
        definition: bytes,
        rule: str,
        since_ms: int,
        label: str,
        release: str,
    ) -> None:
        more: dict[str, Any] = {"next_ms": next_ms, "definition": definition, "rule": rule, "release": release}
        new = [declared(n, since_ms, label, **more) for n in some]
        self.pair.keeper(lambda store, _: store.declare_schedules(TAG, new))

    @rule(silent_ms=st.sampled_from([-1000, 600_000]), label=st.sampled_from(["shop", "other"]))
    def undeclare(self, silent_ms: int, label: str) -> None:
        async def gone(store: Any, _: Any) -> list[str]:
            return sorted(await store.undeclare_schedules(TAG, label, silent_ms))

        self.pair.keeper(gone)

    @rule(name=names, next_ms=times)
    def pause(self, name: str, next_ms: int | None) -> None:
        same(self.pair.real.pause_schedule(name, next_ms), self.pair.model.pause_schedule(name, next_ms))

    @rule(name=names)
    def drop(self, name: str) -> None:
        same(self.pair.real.delete_schedule(name), self.pair.model.delete_schedule(name))

    @rule(passed=st.lists(names, max_size=1))
    def look(self, passed: list[str]) -> None:
        revisions = {name: found.revision for name in passed if (found := self.pair.model.schedules([name])[0])}
        self.seen += self.pair.due_schedules(revisions)

    @rule(places=st.lists(st.integers(0, 5), max_size=3), next_ms=times, count=st.integers(0, 2))
    def fire(self, places: list[int], next_ms: int | None, count: int) -> None:
        some = [self.seen[-1 - place] for place in places if place < len(self.seen)]
        firings = [
            firing(due, next_ms, messages=[occurrence(due.name, due.next_ms + n) for n in range(count)], missed=1)
            for due in some
        ]
        self.pair.keeper(lambda store, _: store.fire(TAG, firings))

    @invariant()
    def agree(self) -> None:
        if hasattr(self, "pair"):
            same(self.pair.real.list_schedules(), self.pair.model.list_schedules())
            same(self.pair.real.statistics(), self.pair.model.statistics())


def test_the_model_and_a_server_agree(embedded_url: str) -> None:
    class Here(Lives):
        url = embedded_url

    bounded = settings(
        max_examples=60,
        stateful_step_count=40,
        deadline=None,
        derandomize=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    run_state_machine_as_test(Here, settings=bounded)
