"""One line for each change of a store's state, and none that is not true."""

from __future__ import annotations

import logging
import time
from typing import Any, cast

import pytest

from streamtasks.exceptions import StoreFull, StoreUnavailable
from streamtasks_workers.roles.base import ServedApp
from streamtasks_workers.roles.store_state import StoreState

AWAY = StoreUnavailable("no answer from the store at h:1 in 1 s: Connection refused.")


class _Settings:
    shown_url = "redis://h:1/0"


class _App:
    """As much of a `ServedApp` as the state asks for; also its store."""

    label = "shop"
    settings = _Settings()

    def __init__(self, *tags: str) -> None:
        self.tags = tags
        self.store = self
        self.answers: dict[str, float] = {}

    def answered_at(self, tag: str) -> float:
        return self.answers.get(tag, 0.0)

    def answer(self, tag: str) -> None:
        self.answers[tag] = time.monotonic() + 1e-6


def state_of(app: _App) -> StoreState:
    return StoreState(cast("ServedApp", cast("Any", app)))


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "streamtasks.worker")


def test_work_that_asked_nothing_does_not_say_that_the_store_is_back(caplog: pytest.LogCaptureFixture) -> None:
    app = _App("u0")
    app.answer("u0")
    time.sleep(0.001)
    state = state_of(app)
    for _ in range(3):
        state.failed("u0", "Leases", AWAY)
        state.failed("", "Listener", AWAY)
        state.succeeded("u0", "Promoter")
    assert [record.getMessage() for record in caplog.records] == [
        f"the keeper does not reach the store of shop at redis://h:1/0: {AWAY}"
    ]
    caplog.clear()
    app.answer("u0")
    for _ in range(3):
        state.succeeded("u0", "Promoter")
    [record] = caplog.records
    assert record.getMessage().startswith("the keeper reaches the store of shop at redis://h:1/0 again after 0.0 s")


def test_each_app_and_each_shard_has_a_state_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    app, other = _App("a", "b"), _App("u0")
    state, untouched = state_of(app), state_of(other)
    state.failed("a", "Leases", AWAY)
    other.answer("u0")
    untouched.succeeded("u0", "Leases")
    app.answer("b")
    state.succeeded("b", "Leases")
    [record] = caplog.records
    assert "shop, shard a, at redis://h:1/0" in record.getMessage()
    state.failed("b", "Leases", AWAY)
    app.answer("a")
    state.succeeded("a", "Leases")
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "INFO"]
    assert "reaches the store of shop, shard a," in caplog.records[-1].getMessage()


def test_what_a_server_answers_is_no_absence(caplog: pytest.LogCaptureFixture) -> None:
    app = _App("u0")
    state = state_of(app)
    loading = StoreUnavailable("LOADING")
    loading.reached = True
    state.failed("u0", "Leases", loading)
    state.failed("u0", "Promoter", loading)
    state.failed("u0", "Scheduler", StoreFull("out of memory"))
    state.failed("u0", "Scheduler", StoreFull("out of memory"))
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
    assert "does not serve yet: LOADING" in caplog.records[0].getMessage()
    assert "Scheduler failed at the store of shop" in caplog.records[1].getMessage()
    app.answer("u0")
    state.succeeded("u0", "Leases")
    assert "is served by the store of shop at redis://h:1/0 again" in caplog.records[2].getMessage()
    state.failed("u0", "Scheduler", StoreFull("out of memory"))
    assert len(caplog.records) == 3, "it has not succeeded since"
    state.succeeded("u0", "Scheduler")
    state.failed("u0", "Scheduler", StoreFull("out of memory"))
    assert len(caplog.records) == 4
