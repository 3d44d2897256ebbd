"""Beats of a worker with several shards: what they say comes is looked at in time by the roles that do it."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from streamtasks import StoreSettings
from streamtasks.stores.types import Coming, Heartbeat
from streamtasks_workers.process.options import WorkerOptions
from streamtasks_workers.roles import heartbeat
from streamtasks_workers.roles.app_roles import AppRoles
from streamtasks_workers.roles.base import Role, ServedApp

TAGS = ("u0", "qp")


class Store:
    """Answers beats with what comes on a shard."""

    def __init__(self) -> None:
        self.coming: dict[str, Coming] = {}
        self.beats: list[str] = []

    async def beat(self, tag: str, *_: Any) -> Heartbeat:
        self.beats.append(tag)
        return Heartbeat(1, 0, 0, self.coming.get(tag, Coming()))


def roles_of(store: Any, tags: tuple[str, ...]) -> dict[tuple[str, str], Role]:
    app = ServedApp("shop", StoreSettings(tags=tags), store, WorkerOptions(), "w")
    return {(type(role).__name__, role.tag): role for role in AppRoles(app)._roles}  # pyright: ignore[reportPrivateUsage]


async def woken(store: Store, tags: tuple[str, ...] = TAGS) -> set[tuple[str, str]]:
    """Beat on every shard; return which roles are woken soon."""
    roles = roles_of(store, tags)
    for tag in tags:
        await roles["Heartbeat", tag].run_once()
    await asyncio.sleep(0.02)
    return {key for key, role in roles.items() if role._woken.is_set()}  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    ("kind", "role"),
    [
        ("delayed", "Promoter"),
        ("schedule", "Scheduler"),
        ("unfold", "WorkflowExpander"),
        ("limit", "Limiter"),
        ("lease", "Reclaimer"),
        ("ready", "ReadyWatch"),
    ],
)
async def test_what_comes_is_looked_at_in_time(kind: str, role: str) -> None:
    store = Store()
    store.coming = {"qp": Coming(**{kind: 0})}
    assert await woken(store) == {(role, "" if role == "ReadyWatch" else "qp")}


async def test_what_comes_after_the_next_beat_is_left_to_that() -> None:
    store = Store()
    store.coming = {tag: Coming(*[80_000] * 5) for tag in TAGS}
    assert await woken(store) == set()


async def test_with_one_shard_roles_ask_by_themselves() -> None:
    store = Store()
    store.coming = {"u0": Coming(*[0] * 6)}
    assert await woken(store, ("u0",)) == set()


class TestQuietShards:
    """Nobody holds anything there, and nothing comes."""

    @pytest.fixture
    def store(self) -> Store:
        return Store()

    @pytest.fixture
    def role(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> Any:
        self.now = 1000.0
        monkeypatch.setattr(heartbeat, "time", SimpleNamespace(monotonic=lambda: self.now, time_ns=time.time_ns))
        return roles_of(store, TAGS)["Heartbeat", "qp"]

    async def beats_in(self, role: Any, store: Store, seconds: float) -> int:
        """Let the role run whenever it wants to, while another shard is beaten on."""
        end, before = self.now + seconds, len(store.beats)
        while self.now < end:
            wait_s = await role.run_once()
            assert 0 < wait_s <= 12.0
            self.now += wait_s
            role.app.beats["u0"] = self.now
        return len(store.beats) - before

    async def test_beats_are_rare_there(self, role: Any, store: Store) -> None:
        assert await self.beats_in(role, store, 600.0) in {10, 11}

    @pytest.mark.parametrize(
        "coming", [Coming(lease=500_000), Coming(ready=0), Coming(delayed=50_000), Coming(limit=1, unfold=90_000)]
    )
    async def test_not_where_something_is(self, role: Any, store: Store, coming: Coming) -> None:
        store.coming = {"qp": coming}
        assert await self.beats_in(role, store, 600.0) >= 50

    async def test_what_comes_much_later_does_not_count(self, role: Any, store: Store) -> None:
        store.coming = {"qp": Coming(delayed=3_600_000, schedule=86_400_000)}
        assert await self.beats_in(role, store, 600.0) in {10, 11}

    async def test_a_push_ends_it(self, role: Any, store: Store) -> None:
        await self.beats_in(role, store, 60.0)
        await role.run_once()
        self.now += 1.0
        role.app.heard_at["qp"] = role.app.beats["u0"] = self.now
        assert await self.beats_in(role, store, 1.0) == 1

    async def test_a_claim_of_a_child_ends_it(self, role: Any, store: Store) -> None:
        await self.beats_in(role, store, 60.0)
        board = SimpleNamespace(states=lambda: b"\0\1", tag_of=("u0", "qp").__getitem__, counts=lambda: (0, 0))
        role.app.children[0] = SimpleNamespace(board=board)
        assert await self.beats_in(role, store, 60.0) >= 5

    async def test_a_worker_is_never_silent_for_long(self, role: Any, store: Store) -> None:
        await role.run_once()
        self.now = role.app.beats["u0"] = 1000.0
        self.now += heartbeat.MOST_BEAT_S
        await role.run_once()
        assert len(store.beats) == 2


class TestAfterASilence:
    """What came to a shard while nobody listened is found by a beat on it."""

    @pytest.fixture
    def roles(self) -> dict[tuple[str, str], Any]:
        return roles_of(Store(), TAGS)

    @staticmethod
    def miss(roles: dict[tuple[str, str], Any], tag: str) -> set[tuple[str, str]]:
        for role in roles.values():
            role.missed(tag)
        return {key for key, role in roles.items() if role._woken.is_set()}

    async def test_only_those_are_woken_that_live_by_no_beat(self, roles: dict[tuple[str, str], Any]) -> None:
        beats = {("Heartbeat", tag) for tag in TAGS}
        assert self.miss(roles, "") == beats | {("ReadyWatch", ""), ("Revocations", ""), ("ShardList", "")}

    async def test_schedules_are_declared_again(self, roles: dict[tuple[str, str], Any]) -> None:
        """The server may be an empty one."""
        roles["Scheduler", "qp"]._declared = {"nightly": None}
        woken = self.miss(roles, "")
        assert {key for key in woken if key[0] == "Scheduler"} == {("Scheduler", "qp")}

    async def test_with_one_shard_roles_look_by_themselves(self) -> None:
        woken = {kind for kind, _ in self.miss(roles_of(Store(), ("u0",)), "")}
        assert {"Promoter", "Reclaimer", "Scheduler", "Limiter", "WorkflowExpander"} <= woken
        assert not {"Heartbeat", "Janitor", "Expirer"} & woken

    def test_what_beats_tell_of_does_not_begin_at_once(self, roles: dict[tuple[str, str], Any]) -> None:
        at_once = {kind for (kind, _), role in roles.items() if role.first_s() == 0.0}
        assert {"Heartbeat", "Scheduler", "Leases", "Fence", "ReadyWatch", "Revocations"} <= at_once
        assert not {"Promoter", "Reclaimer", "WorkflowExpander", "Limiter", "Janitor"} & at_once
        assert all(role.first_s() == 0.0 for role in roles_of(Store(), ("u0",)).values())


def test_each_field_has_its_word() -> None:
    assert len(heartbeat.COMING) == len(Coming._fields)
