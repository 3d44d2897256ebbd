"""A worker that hardly ever asks by itself costs few commands, and is woken all the same."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.support.fleet import Fleet
from tests.support.measurements import idle_commands

DAY_S = 86_400


def test_work_is_started_without_a_poll(fleet: Fleet) -> None:
    fleet.configure(idle_poll_s=3600.0, lease_s=20_000.0)
    fleet.start("--concurrency", "2")
    fleet.wait_idle(2)
    for name in ("default", "brand-new"):
        assert fleet.enqueue("add", 1, 2, queue=name).get(timeout=60.0) == 3
    delayed = fleet.enqueue("add", 1, 2, run_after=timedelta(milliseconds=200))
    assert delayed.get(timeout=60.0) == 3


@pytest.mark.slow
@pytest.mark.parametrize(("idle_poll_s", "lease_s", "most_a_day"), [(2.0, 30.0, 400_000), (30.0, 120.0, 45_000)])
def test_an_idle_worker_sends_few_commands_a_day(
    fleet: Fleet, figure: Callable[[str], None], idle_poll_s: float, lease_s: float, most_a_day: int
) -> None:
    fleet.configure(idle_poll_s=idle_poll_s, lease_s=lease_s)
    fleet.start("--concurrency", "2")
    fleet.wait_idle(2)
    commands = idle_commands(fleet, 45.0)
    figure(f"idle_poll {idle_poll_s:g} s: {commands.sent * DAY_S:,.0f} commands a day with two children")
    assert commands.sent * DAY_S <= most_a_day
