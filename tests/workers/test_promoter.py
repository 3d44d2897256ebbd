"""The promoter asks shortly before a message is due, and then exactly when it is."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from streamtasks.settings import StoreSettings
from streamtasks.stores.types import Promotion
from streamtasks_workers.roles.promoter import SOON_S, Promoter


def promoter(*answers: Promotion) -> tuple[Promoter, list[float]]:
    """Return a promoter whose store answers so, one after the other, and the times at which it is asked."""
    asked, left = list[float](), iter(answers)

    async def promote(_: str) -> Promotion:
        asked.append(time.monotonic())
        return next(left)

    app: Any = SimpleNamespace(store=SimpleNamespace(promote=promote), settings=StoreSettings())
    return Promoter(app, "u0"), asked


async def test_it_sleeps_until_shortly_before_the_next_one_is_due() -> None:
    role, asked = promoter(Promotion(1, 100_000))
    assert await role.run_once() == pytest.approx(0.1 - SOON_S)
    assert len(asked) == 1


async def test_what_is_due_soon_is_promoted_in_the_same_run_and_not_before() -> None:
    role, asked = promoter(Promotion(0, 3_000), Promotion(0, 400), Promotion(1, None))
    assert await role.run_once() == role.interval_s
    assert len(asked) == 3
    assert asked[1] - asked[0] >= 0.003
    assert asked[2] - asked[1] >= 0.0004


async def test_a_run_ends_although_there_is_always_one_more() -> None:
    role, asked = promoter(*[Promotion(1, 100)] * 1000)
    assert await role.run_once() == 0.0
    assert len(asked) <= 10
