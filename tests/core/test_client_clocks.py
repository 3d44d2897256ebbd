"""Invariant I9: `expires` counts by the server's clock, however wrong a client's clock is."""

from __future__ import annotations

import time
from typing import Any

import pytest

from streamtasks import chain, group
from streamtasks.protocol.state import State
from tests.support.workflow_site import WorkflowSite

LATER_S = 60
SOON_S = 0.05


@pytest.fixture(params=[-7200, 7200], ids=["slow", "fast"], autouse=True)
def wrong_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock of clients be two hours off; the in-memory store and the workers ask another one."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + request.param)


def state_after(site: WorkflowSite, result: Any) -> State:
    time.sleep(2 * SOON_S)
    site.run()
    state: State = result.state
    return state


@pytest.mark.parametrize(("expires", "state"), [(LATER_S, State.SUCCESS), (SOON_S, State.EXPIRED)])
class TestExpires:
    def test_of_a_call(self, site: WorkflowSite, expires: float, state: State) -> None:
        assert state_after(site, site.add.apply_async([1, 2], expires=expires)) == state

    def test_of_a_call_with_a_countdown(self, site: WorkflowSite, expires: float, state: State) -> None:
        assert state_after(site, site.add.apply_async([1], expires=expires, countdown=2 * SOON_S)) == state

    def test_of_a_call_with_a_rate_limit(self, site: WorkflowSite, expires: float, state: State) -> None:
        assert state_after(site, site.limited.apply_async([1], expires=expires)) == state

    def test_of_a_member(self, site: WorkflowSite, expires: float, state: State) -> None:
        result = group(site.add.s(1).set(expires=expires), site.add.s(2)).apply_async()
        assert state_after(site, result.children[0]) == state

    def test_of_a_linked_workflow(self, site: WorkflowSite, expires: float, state: State) -> None:
        after = chain(site.add.s(1), site.same.s().set(expires=expires, countdown=2 * SOON_S))
        result = site.add.apply_async([1], link=after)
        assert state_after(site, result) == State.SUCCESS
        [last] = result.children
        assert site.app.get_result(last).state == state


@pytest.mark.parametrize(("expires", "state"), [(LATER_S, State.SUCCESS), (SOON_S, State.EXPIRED)])
def test_a_link_expires_so_long_after_its_parent_succeeded(site: WorkflowSite, expires: float, state: State) -> None:
    result = site.add.apply_async([1], link=site.same.s().set(expires=expires, countdown=2 * SOON_S))
    assert state_after(site, result) == State.SUCCESS
    [follower] = result.children
    assert site.app.get_result(follower).state == state
