"""Why a task waits: on every store, and in many random states of the one in memory, against what a claim takes."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streamtasks import Message, StoreSettings
from streamtasks.operations.explain import explain, explain_task
from streamtasks.operations.situation import look_at
from streamtasks.protocol.callback_message import is_callback
from streamtasks.protocol.task_digests import digests
from streamtasks.stores.factory import open_store, open_supervisor_store
from streamtasks.stores.memory import AsyncMemoryStore, Clock, MemoryServer, MemoryStore
from streamtasks.stores.types import Claimed, Limit, NewMessage
from tests.support.manual_consumer import Consumer, outcome_of

START_MS = 1_800_000_000_000
ABOUT = {"queue_mode": "all", "queues": [], "tasks": digests(["t"]), "children": 2}
CRASH = '{"kind":"CRASH","error":{"type":"streamtasks.exceptions.WorkerCrashed","message":"signal 9"}}'


def new(task_id: str, queue: str = "default", priority: int = 0, **more: Any) -> NewMessage:
    options: dict[str, Any] = {name: more.pop(name) for name in ("task", "expires_ms") if name in more}
    fields: dict[str, Any] = {"task": "t", "queue": queue, "priority": priority, **options}
    envelope = Message(id=task_id, **fields).encode(1 << 20)
    return NewMessage(task_id, queue, priority, envelope, **more)


class World:
    """A store, a child, and the duties of a keeper."""

    def __init__(self, settings: StoreSettings, server: MemoryServer | None = None) -> None:
        self.settings = settings
        self.server = server
        self.store: Any = MemoryStore(settings, server) if server else open_store(settings)
        self.hand = Consumer(self.store, "w-1")
        self.tag = self.store.tags[0]

    def keeper(self, call: Callable[[Any], Any]) -> Any:
        async def run() -> Any:
            if self.server is not None:
                return await call(AsyncMemoryStore(self.settings, self.server))
            return await call(open_supervisor_store(self.settings))

        return asyncio.run(run())

    def beat(self, about: dict[str, Any] | None = None) -> None:
        self.keeper(lambda store: store.beat(self.tag, "w", ABOUT if about is None else about))

    def codes(self, task_id: str) -> list[str]:
        return [reason.code for reason in explain_task(self.store, task_id)]

    def stops(self, task_id: str) -> list[str]:
        return [reason.code for reason in explain_task(self.store, task_id) if reason.stops]


@pytest.fixture
def world(store_url: str) -> Iterator[World]:
    made = World(StoreSettings(url=store_url, timeout_s=60.0, enqueue_timeout_s=60.0))
    with made.hand:
        yield made


def test_on_every_store(world: World) -> None:
    store = world.store
    store.enqueue([new("a"), new("b"), new("c", priority=5), new("late", delay_ms=60_000), new("child", after="late")])
    store.enqueue([*(new(f"l{n}", limit=Limit("slow", 60_000_000)) for n in range(3))])
    assert world.codes("a")[:1] == ["no_worker"]
    world.beat()
    assert world.codes("c") == ["next"]
    assert world.codes("a") == ["behind_priority"]
    assert world.codes("b") == ["behind_priority", "behind"]
    assert "1 task of" in explain_task(store, "b")[1].text
    assert world.codes("late") == ["delayed"]
    assert explain_task(store, "late")[0].until_ms > 0
    assert world.codes("child") == ["blocked"]
    assert "that is DELAYED" in explain_task(store, "child")[0].text
    assert world.codes("nobody") == ["unknown"]
    [limited] = explain_task(store, "l2")
    assert limited.code == "limited"
    assert re.search(r"allows one start in 60 s: [12] tasks? before it", limited.text)

    [claimed] = world.hand.claim(1)
    assert claimed.id == "c"
    assert world.stops("c")[0] in ("running", "claimed")
    world.hand.settle(outcome_of(claimed, "RETRY", delay_ms=60_000))
    assert world.codes("c")[0] == "retry_delay"
    world.beat({**ABOUT, "queue_mode": "only", "queues": ["mail"]})
    assert world.codes("a") == ["queue_unserved"]
    world.beat({**ABOUT, "tasks": digests(["something.else"])})
    assert world.codes("a")[0] == "task_unknown"
    world.beat()
    assert world.hand.succeed(most=1) == ["a"]
    store.enqueue([new("other", queue="mail")])
    assert world.codes("a") == ["finished", "waited", "ran"]
    if not world.settings.is_sql:
        store.pause("mail", "ann", "the printer is on fire")
        assert world.codes("other")[0] == "paused"
        assert "by ann: the printer is on fire" in explain_task(store, "other")[0].text
        store.pause("", "ann", "", "t")
        store.pause("", "ann", "", "unknown")
        assert world.stops("b") == ["paused"]
        assert "Task t is paused since" in explain_task(store, "b")[0].text
        store.resume("", "t")
        store.pause("", "ann", "")
        assert world.stops("b") == ["paused"]


def test_who_holds_it_and_what_ended(world: World, end_leases: Callable[[StoreSettings, set[str]], None]) -> None:
    world.store.enqueue([new("a")])
    [claimed] = world.hand.claim(1)
    assert world.stops("a")[1:] == ["worker_silent"], "its worker was never registered"
    world.beat()
    assert world.stops("a") in (["running"], ["claimed"])
    assert world.store.revoke("a")
    assert world.stops("a")[1:] == ["revoked"]
    world.hand.settle(outcome_of(claimed, "SUCCESS"))
    assert world.codes("a")[0] == "finished"
    assert "REVOKED" in explain_task(world.store, "a")[0].text


# -- random states -------------------------------------------------------------------------------------


class RandomWorld(World):
    """The store in memory, moved at random; what `explain` says is compared with what a claim takes."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(StoreSettings(url="memory://explain"), MemoryServer(Clock(START_MS)))
        self.rng = rng
        self.held: list[Claimed] = []
        self.count = self.states = 0
        self.seen: set[str] = set()

    @property
    def shard(self) -> Any:
        return self.store.shard(self.tag)

    def step(self) -> None:
        rng = self.rng
        match rng.randrange(13):
            case 0 | 1 | 2 | 3:
                self.enqueue()
            case 4:
                self.claim()
            case 5 | 6 | 11 if self.held:
                self.end(self.held.pop(rng.randrange(len(self.held))))
            case 7:
                self.server.clock.advance(rng.choice([0.01, 1, 7, 40]))  # type: ignore[union-attr]
            case 8:
                self.keeper(lambda store: store.promote(self.tag))
                self.keeper(lambda store: store.admit(self.tag))
            case 9:
                about = rng.choice([ABOUT, {**ABOUT, "queue_mode": "only", "queues": ["mail"]}, {**ABOUT, "tasks": ""}])
                self.keeper(lambda store: store.beat(self.tag, f"w{rng.randrange(3)}", about))
            case 10:
                queue = rng.choice(["", "mail", "default"])
                (self.store.resume if rng.random() < 0.7 else lambda one: self.store.pause(one, "ann", "why"))(queue)
            case _ if self.shard.live:
                if rng.random() < 0.5:
                    self.store.revoke(rng.choice(list(self.shard.live)))
                else:
                    self.keeper(lambda store: store.reclaim(self.tag))
                    self.held = [one for one in self.held if self.shard.held(one.id, one.token)]
            case _:
                pass

    def enqueue(self) -> None:
        rng, more = self.rng, dict[str, Any]()
        if rng.random() < 0.2:
            more["delay_ms"] = rng.choice([5, 3000, 60_000])
        elif rng.random() < 0.2:
            more["limit"] = Limit("slow", 1_000_000)
        elif rng.random() < 0.2 and self.count:
            more["after"] = f"t{rng.randrange(self.count)}"
        if rng.random() < 0.2:
            more["expires_ms"] = self.shard.now_ms() + 5000
        more["task"] = rng.choice(["t", "t", "unknown"])
        self.store.enqueue([new(f"t{self.count}", rng.choice(["default", "mail"]), rng.choice([0, 0, 5]), **more)])
        self.count += 1

    def end(self, claimed: Claimed) -> None:
        match self.rng.randrange(4):
            case 0:
                outcome = outcome_of(claimed, "RETRY", delay_ms=self.rng.choice([0, 4000]))
                self.hand.settle(outcome)
            case 1:
                self.keeper(lambda store: store.charge(self.tag, [(claimed, self.shard.now_ms(), CRASH)]))
            case 2:
                self.keeper(lambda store: store.hand_back(self.tag, [claimed]))
            case _:
                self.hand.settle(outcome_of(claimed, "SUCCESS"))

    def check(self) -> set[str]:
        """Explain every message; return those that can be claimed by what was said."""
        free = set()
        for task_id in [one for one in self.shard.live if not is_callback(one)]:
            reasons = explain(look_at(self.store, task_id))
            assert reasons, task_id
            codes = [reason.code for reason in reasons]
            self.seen.update(codes)
            self.states += 1
            message, stops = self.shard.live[task_id], [reason.code for reason in reasons if reason.stops]
            due_ms = self.shard.delayed.due_ms(task_id)
            assert [reason.stops for reason in reasons] == sorted((r.stops for r in reasons), reverse=True)
            assert ("blocked" in stops) == (message.phase == "B")
            assert ("limited" in stops) == (message.phase == "W")
            assert any(code in stops for code in ("delayed", "retry_delay", "crash_delay")) == (message.phase == "D")
            assert any(code in stops for code in ("running", "claimed")) == (message.phase in "CRX")
            assert ("revoked" in stops) == (message.phase == "X")
            assert ("runs_alone" in codes) == (message.phase == "S" or (message.phase == "D" and message.crashes > 1))
            assert all(reason.until_ms == due_ms for reason in reasons if reason.code.endswith("delay"))
            live = any(worker.is_live for worker in self.store.workers())
            assert ("no_worker" in codes) == (not live and message.phase not in "CRX")
            paused = self.shard.is_paused(message.name.partition(":")[2])
            assert ("paused" in stops) == (paused and message.phase not in "CRX")
            if not stops:
                free.add(task_id)
        return free

    def claim(self) -> None:
        free = self.check()
        alone = {one for one in free if self.shard.live[one].phase == "S"}
        claimed = self.hand.claim(self.rng.choice([1, 100]))
        ids = {one.id for one in claimed if not is_callback(one.id)}
        assert ids <= free, "what was claimed was said to be free"
        if len(claimed) > 1 and not alone:
            assert ids == free, "and what was said to be free is claimed"
        self.held += claimed


@pytest.mark.parametrize("part", range(2))
def test_in_random_states(seed: int, part: int) -> None:
    states, seen = 0, set[str]()
    rng = random.Random(seed + part)
    while states < 5000:
        world = RandomWorld(rng)
        with world.hand:
            for _ in range(100):
                world.step()
                if rng.random() < 0.5:
                    world.check()
        states += world.states
        seen |= world.seen
    wanted = {
        "behind", "behind_priority", "blocked", "claimed", "delayed", "expires", "limited", "next", "no_worker",
        "paused", "queue_unserved", "retry_delay", "running", "task_unknown", "worker_silent",
    }  # fmt: skip
    assert seen >= wanted, wanted - seen
