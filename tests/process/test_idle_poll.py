"""A worker that hardly ever asks by itself is woken all the same."""

from __future__ import annotations

from datetime import timedelta

from tests.support.fleet import Fleet


def test_work_is_started_without_a_poll(fleet: Fleet) -> None:
    fleet.configure(idle_poll_s=3600.0, lease_s=20_000.0)
    fleet.start("--concurrency", "2")
    fleet.wait_idle(2)
    for name in ("default", "brand-new"):
        assert fleet.enqueue("add", 1, 2, queue=name).get(timeout=60.0) == 3
    delayed = fleet.enqueue("add", 1, 2, run_after=timedelta(milliseconds=200))
    assert delayed.get(timeout=60.0) == 3
