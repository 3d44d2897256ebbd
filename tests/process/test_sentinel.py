"""A master fails, or is replaced, under load: producers and workers go on without a restart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from streamtasks import State, chord
from tests.support.fleet import Fleet
from tests.support.producers import Acknowledged, Producers
from tests.support.sentinel_trio import DOWN_AFTER_MS, SentinelTrio
from tests.support.servers import server_kinds
from tests.support.waiting import wait_until
from tests.support.worker_process import Pids, Worker

pytestmark = [pytest.mark.topology, pytest.mark.outage]

OpenFleet = Callable[[str], Fleet]
OUTAGE_S = DOWN_AFTER_MS / 1000 + 5
SETTINGS = {"timeout_s": 60.0, "enqueue_timeout_s": 60.0}


@pytest.fixture(params=server_kinds())
def trio(request: pytest.FixtureRequest) -> Iterator[SentinelTrio]:
    with SentinelTrio(request.param) as started:
        yield started


def processes(worker: Worker, children: int = 2) -> Pids:
    """Return the processes of a worker with so many children."""

    def whole() -> Pids | None:
        found = worker.pids()
        return found if found.keeper and len(found.children) == children else None

    found = wait_until(whole, f"a keeper and {children} children")
    assert found is not None
    return found


def states(fleet: Fleet, acknowledged: list[Acknowledged]) -> dict[str, State | None]:
    """Return the state of each message; None: the store does not know it."""
    ids = [one.id for one in acknowledged]
    found = fleet.app.store.read(ids)
    return {task_id: None if one is None else one.state for task_id, one in zip(ids, found, strict=True)}


def all_ended(fleet: Fleet, acknowledged: list[Acknowledged]) -> Callable[[], bool]:
    """Return whether everything that the store knows has its outcome."""
    return lambda: all(state in {None, State.SUCCESS} for state in states(fleet, acknowledged).values())


@pytest.mark.parametrize("how", ["kill", "failover"])
def test_a_master_is_replaced_under_load(
    trio: SentinelTrio,
    open_fleet: OpenFleet,
    how: str,
    figure: Callable[[str], None],
    bound: Callable[[float], float],
) -> None:
    fleet = open_fleet(trio.url)
    fleet.configure(**SETTINGS)
    worker = fleet.start("--concurrency", "2")
    before, old = processes(worker), trio.master()
    tasks = fleet.app.tasks
    with Producers(fleet.app, "nap", (0.002,)) as producers:
        producers.wait_for_more(200)
        late = tasks["add"].apply_async((1, 2), countdown=3)
        whole = chord([tasks["give_back"].s(n) for n in range(50)], tasks["give_back"].s()).apply_async()
        safe = producers.all
        assert trio.replicate() == 2
        if how == "kill":
            old.kill()
            trio.wait_other_master(old)
        else:
            trio.fail_over()
        switched = time.monotonic()
        producers.wait_for_more(200)
    everything = producers.all
    wait_until(all_ended(fleet, everything), "every task has ended")
    assert late.get(timeout=60) == 3
    assert whole.get(timeout=60) == list(range(50))

    found = states(fleet, everything)
    assert all(found[one.id] == State.SUCCESS for one in safe), "what was replicated is lost"
    lost = [one for one in everything if found[one.id] is None]
    assert all(one.at < switched + bound(3.0) for one in lost), "a message was sent to the old master"
    assert producers.errors == []
    assert processes(worker) == before
    outages = producers.longest_pauses_s
    executions = len(fleet.record.executions())
    figure(
        f"{how}: {len(everything)} acknowledged, {len(lost)} of them lost; "
        f"pauses {outages[0]:.2f} s (thread), {outages[1]:.2f} s (event loop); {executions} executions of all"
    )
    assert max(outages) < bound(OUTAGE_S)


def test_idle_children_and_the_keeper_leave_at_once(
    trio: SentinelTrio, open_fleet: OpenFleet, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    fleet = open_fleet(trio.url)
    fleet.configure(**SETTINGS)
    workers = [fleet.start("--concurrency", "1"), fleet.start("--concurrency", "1", "--async-concurrency", "4")]
    before = [processes(worker, 1) for worker in workers]
    assert fleet.enqueue("add", 1, 2).get(timeout=60) == 3
    fleet.wait_idle(2)
    trio.replicate()
    new = trio.client(trio.fail_over())
    named = time.monotonic()

    def moved() -> bool:
        waiting = int(new.info("clients")["blocked_clients"]) >= 2
        return waiting and new.pubsub_shardnumsub(fleet.keys.control)[0][1] == 2

    wait_until(moved, "two children and two keepers listen to the new master")
    moved_s = time.monotonic() - named
    result = fleet.enqueue("add", 2, 2)
    assert result.get(timeout=60) == 4
    figure(f"all processes wait at the new master {moved_s * 1e3:.0f} ms after all Sentinels name it")
    assert moved_s < bound(2.0)
    assert [processes(worker, 1) for worker in workers] == before
