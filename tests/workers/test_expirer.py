"""The role that deletes results that expire before their ids may be forgotten."""

from __future__ import annotations

import pytest

from streamtasks import StoreSettings
from streamtasks_workers.process.options import WorkerOptions
from streamtasks_workers.roles import ROLES
from streamtasks_workers.roles.base import ServedApp
from streamtasks_workers.roles.expirer import Expirer


class Store:
    """Notes what it is asked to delete."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bool, str]] = []

    async def expire_results(self, tag: str, success: bool, after: str) -> str:
        self.asked.append((tag, success, after))
        return f"{len(self.asked)}-0"


def expirer(store: Store, success_s: float, failure_s: float) -> Expirer:
    settings = StoreSettings(result_expires_s=success_s, failure_expires_s=failure_s)
    return Expirer(ServedApp("shop", settings, store, WorkerOptions()), "u0")  # type: ignore[arg-type]


async def test_each_look_goes_on_where_the_last_one_ended() -> None:
    store = Store()
    role = expirer(store, 60, 120)
    await role.run_once()
    await role.run_once()
    assert store.asked == [("u0", True, ""), ("u0", False, ""), ("u0", True, "1-0"), ("u0", False, "2-0")]
    assert Expirer in ROLES


@pytest.mark.parametrize(
    ("success_s", "failure_s", "asked", "interval_s"),
    [(86_400, 86_400, [], 60), (60, 86_400, [True], 15), (900, 899, [False], 60), (0.5, 86_400, [True], 1)],
)
async def test_only_what_expires_early_is_looked_for(
    success_s: float, failure_s: float, asked: list[bool], interval_s: float
) -> None:
    store = Store()
    role = expirer(store, success_s, failure_s)
    await role.run_once()
    assert [success for _, success, _ in store.asked] == asked
    assert role.interval_s == interval_s
