"""Beats of a worker with several shards: what they say comes is looked at in time by the roles that do it."""

from __future__ import annotations

import asyncio
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

    async def beat(self, tag: str, *_: Any) -> Heartbeat:
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
    ],
)
async def test_what_comes_is_looked_at_in_time(kind: str, role: str) -> None:
    store = Store()
    store.coming = {"qp": Coming(**{kind: 0})}
    assert await woken(store) == {(role, "qp")}


async def test_what_comes_after_the_next_beat_is_left_to_that() -> None:
    store = Store()
    store.coming = {tag: Coming(*[60_000] * 5) for tag in TAGS}
    assert await woken(store) == set()


async def test_with_one_shard_roles_ask_by_themselves() -> None:
    store = Store()
    store.coming = {"u0": Coming(*[0] * 5)}
    assert await woken(store, ("u0",)) == set()


def test_each_field_has_its_word() -> None:
    assert len(heartbeat.COMING) == len(Coming._fields)
