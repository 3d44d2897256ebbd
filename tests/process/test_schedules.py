"""Schedules on real workers: one task per occurrence, on time, whoever is killed meanwhile."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from streamtasks.protocol.json import dumps
from streamtasks.protocol.shards import occurrence_id
from streamtasks.protocol.state import State
from streamtasks.schedules import every
from streamtasks.stores.schedule_store import NewSchedule, PutResult, StoredSchedule
from tests.support.fleet import Fleet
from tests.support.measurements import MS, percentile
from tests.support.waiting import wait_until
from tests.support.worker_process import Worker, kill

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamtasks_workers.testing.embedded import EmbeddedServer


def create(fleet: Fleet, name: str, seconds: float, *args: Any, misfire: str = "one") -> int:
    """Make a schedule; return its first occurrence."""
    made = fleet.app.schedules.create(name, "give_back", every(seconds), args, misfire=misfire)
    assert made.next_run is not None
    assert made.missed == 0
    return round(made.next_run.timestamp() * 1000) - made.fired * round(seconds * 1000)  # it may have been quick


def server_ms(fleet: Fleet) -> int:
    seconds, micros = fleet.client.time()
    return int(seconds) * 1000 + int(micros) // 1000


def known(fleet: Fleet, name: str) -> StoredSchedule:
    [found] = fleet.app.store.schedules([name])
    assert found is not None
    return found


def wait_fired(fleet: Fleet, name: str, count: int) -> StoredSchedule:
    def has_fired() -> bool:
        [found] = fleet.app.store.schedules([name])
        return found is not None and found.fired >= count  # a worker is ready before it has declared anything

    wait_until(has_fired, f"{name} has fired {count} times")
    return known(fleet, name)


def check_ticks(fleet: Fleet, name: str, first_ms: int, period_ms: int) -> list[float]:
    """Check that each occurrence since ``first_ms`` brought one task, and nothing else; return how late they began."""
    end = known(fleet, name)
    ticks = range(first_ms, end.last_ms + 1, period_ms)
    assert (end.fired, end.missed) == (len(ticks), 0)
    assert end.last_id == occurrence_id(name, end.last_ms, "u0")
    by_id = {occurrence_id(name, at_ms, "u0"): at_ms for at_ms in ticks}
    fleet.wait_drained()
    snapshots = fleet.app.store.read(list(by_id))
    assert [s and s.state for s in snapshots] == [State.SUCCESS] * len(ticks)
    starts: dict[str, float] = {}
    for execution in fleet.record.executions():
        starts.setdefault(execution.id, execution.started_wall)
    assert set(starts) == set(by_id), "what was executed are the occurrences"
    assert fleet.totals()["SUCCESS"] == len(ticks)
    return [starts[task_id] * 1000 - at_ms for task_id, at_ms in by_id.items()]


def test_on_time(fleet: Fleet, figure: Callable[[str], None], bound: Callable[[float], float]) -> None:
    """Three workers, of which each would fire: one does."""
    for _ in range(3):
        fleet.start("--concurrency", "1")
    fleet.wait_idle(3)
    first_ms = create(fleet, "tick", 0.1, misfire="all")
    wait_fired(fleet, "tick", 20)
    fleet.app.schedules.pause("tick")
    late = check_ticks(fleet, "tick", first_ms, 100)
    figure(
        f"{len(late)} occurrences, 10 a second, 3 workers: late by p50 {percentile(late, 0.5):.1f} ms, "
        f"p99 {percentile(late, 0.99):.1f} ms, max {max(late):.1f} ms"
    )
    assert min(late) >= 0, "an occurrence was early"
    assert percentile(late, 0.5) <= bound(0.02) * MS
    assert max(late) <= bound(0.25) * MS


def under_kills(fleet: Fleet, seed: int, period_s: float, ticks: int, pause_s: float) -> str:
    """Kill roots and keepers at random times; each root that was killed is started anew."""
    chooser = random.Random(seed)
    fleet.configure(lease_s=1.0, crash_limit=50, lost_limit=50, crash_delay_s=0.1)

    def start() -> Worker:
        return fleet.start("--concurrency", "1")

    workers = [start() for _ in range(3)]
    first_ms = create(fleet, "tick", period_s, misfire="all")
    kills = {"keeper": 0, "root": 0}
    end_ms = first_ms + round(ticks * period_s * 1000)
    while server_ms(fleet) < end_ms:
        time.sleep(pause_s * chooser.uniform(0.5, 1.5))  # when it is killed is the point of it
        place = chooser.randrange(3)
        keeper = workers[place].pids().keeper
        if keeper is not None and chooser.random() < 0.6:
            kill(keeper)
            kills["keeper"] += 1
        else:
            kill(workers[place].process.pid)
            kills["root"] += 1
            workers[place].process.wait()
            workers[place] = start()
    wait_until(lambda: known(fleet, "tick").last_ms >= end_ms, f"seed {seed}: all ticks have fired")
    fleet.app.schedules.pause("tick")
    late = check_ticks(fleet, "tick", first_ms, round(period_s * 1000))
    return (
        f"seed {seed}: {len(late)} occurrences, each one task, kills {kills}: late by "
        f"p50 {percentile(late, 0.5):.1f} ms, p99 {percentile(late, 0.99):.1f} ms"
    )


def test_exactly_one_task_per_tick_under_kills(fleet: Fleet, seed: int, figure: Callable[[str], None]) -> None:
    figure(under_kills(fleet, seed, period_s=0.2, ticks=15, pause_s=0.3))


@pytest.mark.slow
def test_exactly_one_task_each_second_for_a_minute(fleet: Fleet, seed: int, figure: Callable[[str], None]) -> None:
    figure(under_kills(fleet, seed, period_s=1.0, ticks=60, pause_s=1.0))


def test_paused_changed_and_deleted_while_it_runs(fleet: Fleet) -> None:
    fleet.start("--concurrency", "1")
    schedules = fleet.app.schedules
    create(fleet, "tick", 0.1)
    wait_fired(fleet, "tick", 3)
    schedules.pause("tick")
    paused = known(fleet, "tick")
    create(fleet, "other", 0.1)
    wait_fired(fleet, "other", 3)
    assert known(fleet, "tick") == paused, "a paused one does nothing"
    schedules.delete("other")
    schedules.resume("tick")
    running = wait_fired(fleet, "tick", paused.fired + 2)
    schedules.update("tick", args=("changed",))
    wait_fired(fleet, "tick", running.fired + 4)
    result = fleet.app.get_result(known(fleet, "tick").last_id)
    assert result.get(timeout=60) == "changed"
    assert result.snapshot().message().headers["schedule"] == "tick"
    schedules.delete("tick")
    fleet.wait_drained()
    count = len(fleet.record.executions())
    assert fleet.totals()["SUCCESS"] == count
    assert schedules.list() == []
    last = server_ms(fleet)
    wait_until(lambda: server_ms(fleet) > last + 300, "three more would have been due")
    assert len(fleet.record.executions()) == count


def test_one_that_cannot_be_read_is_left_to_others(fleet: Fleet) -> None:
    """As when a newer release has written it; it is named once in the log, and holds nobody up."""
    worker = fleet.start("--concurrency", "1")
    store = fleet.app.store
    for number in range(3):
        odd = NewSchedule(f"newer{number}", dumps({"v": 99, "number": number}), "new", 1)
        assert store.put_schedule(odd, 0) is PutResult.STORED
    create(fleet, "tick", 0.1)
    wait_fired(fleet, "tick", 5)
    assert known(fleet, "newer1") == known(fleet, "newer1")._replace(fired=0, paused=False, next_ms=1)
    assert worker.log.count("'newer1' cannot be fired") == 1
    fleet.app.schedules.delete("newer1")
    create(fleet, "newer1", 0.1)
    wait_fired(fleet, "newer1", 1)


@pytest.mark.slow
def test_the_server_is_restarted(
    own_server: Callable[..., EmbeddedServer], open_fleet: Callable[[str], Fleet], figure: Callable[[str], None]
) -> None:
    server = own_server(append_only=True)
    fleet = open_fleet(server.url)
    for _ in range(2):
        fleet.start("--concurrency", "1")
    first_ms = create(fleet, "tick", 0.2, misfire="all")
    before = wait_fired(fleet, "tick", 4)
    server.kill()
    server.start()
    wait_fired(fleet, "tick", before.fired + 10)
    fleet.app.schedules.pause("tick")
    late = check_ticks(fleet, "tick", first_ms, 200)
    figure(f"{len(late)} occurrences around a restart of the server: late by at most {max(late):.0f} ms")


def test_what_code_declares_follows_the_release_that_was_loaded_last(fleet: Fleet) -> None:
    def entry(*args: int) -> dict[str, Any]:
        return {"task": "add", "schedule": 0.1, "args": args}

    fleet.configure(schedule={"tick": entry(1, 2), "gone": entry(3, 4)})
    old = fleet.start("--concurrency", "1")
    wait_fired(fleet, "gone", 2)
    wait_fired(fleet, "tick", 2)
    fleet.configure(schedule={"tick": entry(1, 9)})
    fleet.start("--concurrency", "1")
    store = fleet.app.store
    wait_until(lambda: known(fleet, "tick").revision > 2, "the new definition is there")
    pids = old.pids()
    assert pids.keeper is not None
    kill(pids.keeper)
    old.wait_log("'tick' of proc is left out: a later release counts")
    found = wait_fired(fleet, "tick", known(fleet, "tick").fired + 3)
    assert fleet.app.get_result(found.last_id).get(timeout=60) == 10
    assert store.schedules(["gone"]) != [None], "a worker that lives declares it"


def test_what_code_declares_comes_back_after_the_server_has_lost_it(fleet: Fleet) -> None:
    """No worker is restarted."""
    fleet.configure(schedule={"tick": {"task": "add", "schedule": 0.1, "args": [1, 2]}})
    worker = fleet.start("--concurrency", "1")
    wait_fired(fleet, "tick", 2)
    fleet.client.flushdb()
    worker.wait_log("'tick' of proc is stored anew")
    found = wait_fired(fleet, "tick", 3)
    assert fleet.app.get_result(found.last_id).get(timeout=60) == 3
