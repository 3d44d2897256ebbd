"""A Cluster whose masters have replicas: one takes over, planned or after a kill, under load."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from streamtasks import State, StreamTasks, chord
from streamtasks.exceptions import NotDurable, StoreUnavailable
from streamtasks.protocol.shards import ALL_TAGS
from tests.support.fleet import Fleet
from tests.support.producers import Acknowledged, Producers
from tests.support.servers import Cluster, client_of
from tests.support.waiting import DEADLINE_S, wait_until
from tests.topology.test_cluster import Load, wait_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.topology


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster(replicas=True) as started:
        yield started


@pytest.fixture
def fleet(cluster: Cluster, tmp_path: Path) -> Iterator[Fleet]:
    url = cluster.url.replace("redis://", "redis+cluster://").removesuffix("/0")
    made = Fleet(url, tmp_path, {"timeout_s": DEADLINE_S, "lease_s": 5.0})
    yield made
    made.close()


def is_master(url: str) -> bool:
    with client_of(url) as client:
        role: Any = client.info("replication")
        return bool(role["role"] == "master")


def test_a_planned_failover_loses_nothing(cluster: Cluster, fleet: Fleet) -> None:
    fleet.start("--concurrency", "2")
    with Load(fleet.app) as load:
        time.sleep(0.3)
        with client_of(cluster.replicas[0].url) as client:
            client.execute_command("CLUSTER FAILOVER")
        wait_until(lambda: is_master(cluster.replicas[0].url), "the replica has taken over")
        time.sleep(0.5)
    wait_all(load.results)
    assert not load.errors
    assert {result.state for result in load.results} == {State.SUCCESS}


def test_producers_go_on_through_the_kill_of_a_master(
    cluster: Cluster, fleet: Fleet, figure: Callable[[str], None]
) -> None:
    """Each call succeeds or raises a documented error; what was acknowledged as replicated is not lost."""
    fleet.configure(lease_s=5.0, enqueue_timeout_s=2.0, durability_timeout_s=1.0)
    durable = StreamTasks(fleet.url, enqueue_timeout_s=2.0, durability="replicated", durability_timeout_s=1.0)
    durable.task(name="nap")(time.sleep)
    before = fleet.many("nap", [(0.005,)] * 640)
    cluster.wait_replicated()
    fleet.start("--concurrency", "2")
    with Producers(fleet.app, "nap", (0.001,)) as plain, Producers(durable, "nap", (0.001,)) as replicated:
        for producers in (plain, replicated):
            producers.wait_for_more(len(ALL_TAGS))
        tags = set(cluster.tags_at(cluster.nodes[1], ALL_TAGS))
        cluster.nodes[1].kill()
        killed_at = time.monotonic()
        wait_until(lambda: is_master(cluster.replicas[1].url), "the replica has taken over")
        cluster.nodes[1].start()  # until it follows, what is written there is not replicated

        def there_again(producers: Producers) -> bool:
            return all(
                any(one.at > killed_at + 1.0 and one.id.rpartition("-")[2] in tags for one in each)
                for each in producers.acknowledged
            )

        for producers in (plain, replicated):
            wait_until(lambda producers=producers: there_again(producers), "all shards take messages again")  # type: ignore[misc]
    errors = plain.errors + replicated.errors
    assert all(isinstance(error, StoreUnavailable) for error in plain.errors), plain.errors
    assert all(isinstance(error, (StoreUnavailable, NotDurable)) for error in errors), errors
    longest_s = max(plain.longest_call_s, replicated.longest_call_s)
    assert longest_s < DEADLINE_S, "a call goes on past its deadline"
    wait_all(before)
    assert {result.state for result in before} == {State.SUCCESS}
    states = states_of(fleet, [*plain.all, *replicated.all])
    lost = [one for one in plain.all if states[one.id] is None]
    assert not [one for one in replicated.all if states[one.id] is None]
    assert all(one.at < killed_at and one.id.rpartition("-")[2] in tags for one in lost), "by that master alone"
    figure(
        f"kill of a master: {len(states)} acknowledged, {len(lost)} of them lost, all of durability memory; "
        f"{len(errors)} calls refused, the longest call {longest_s:.1f} s"
    )


def states_of(fleet: Fleet, acknowledged: list[Acknowledged]) -> dict[str, State | None]:
    """Return the states of messages, once each that is known has succeeded."""
    states: dict[str, State | None] = {one.id: State.QUEUED for one in acknowledged}

    def all_ended() -> bool:
        ids = [task_id for task_id, state in states.items() if state not in {None, State.SUCCESS}]
        for task_id, one in zip(ids, fleet.app.store.read(ids), strict=True):
            states[task_id] = None if one is None else one.state
        return all(state in {None, State.SUCCESS} for state in states.values())

    wait_until(all_ended, "every task has ended", 2 * DEADLINE_S)
    return states


@pytest.mark.parametrize("fault", ["failover", "kill", "reshard"])
def test_workflows_and_rate_limits_are_right_throughout(cluster: Cluster, fleet: Fleet, fault: str) -> None:
    """And whoever has the patience for it sees no error."""
    fleet.configure(enqueue_timeout_s=DEADLINE_S)
    tasks = fleet.app.tasks
    chords = [chord([tasks["nap"].s(0.01) for _ in range(8)], tasks["give_back"].s()).apply_async() for _ in range(32)]
    # They start when the limit lets them: behind the others the first would start late, and all seem too fast.
    limited = fleet.many("add", [(n, 1) for n in range(60)], rate_limit="20/s", priority=5)
    plain = fleet.many("nap", [(0.01,)] * 160)
    cluster.wait_replicated()
    fleet.start("--concurrency", "2")
    fleet.record.wait_started(limited[5])
    with Producers(fleet.app, "nap", (0.001,), pause_s=0.02) as producers:
        producers.wait_for_more(5)
        tags = set(cluster.tags_at(cluster.nodes[1], ALL_TAGS))
        if fault == "kill":
            cluster.nodes[1].kill()
            wait_until(lambda: is_master(cluster.replicas[1].url), "the replica has taken over")
        elif fault == "failover":
            with client_of(cluster.replicas[1].url) as client:
                client.execute_command("CLUSTER FAILOVER")
            wait_until(lambda: is_master(cluster.replicas[1].url), "the replica has taken over")
        else:
            for tag in cluster.tags_at(cluster.nodes[1], ALL_TAGS)[:2]:
                cluster.move_slot(tag, to=2)
        over_at = time.monotonic()
        producers.wait_for_more(len(ALL_TAGS))
    assert producers.errors == []
    wait_all([*limited, *plain, *chords])
    assert [result.get() for result in chords] == [[0.01] * 8] * 32
    assert [result.get() for result in limited] == [n + 1 for n in range(60)]
    assert {result.state for result in plain} == {State.SUCCESS}
    states = states_of(fleet, producers.all)
    lost = [one for one in producers.all if states[one.id] is None]
    assert fault == "kill" or not lost
    assert all(one.at < over_at and one.id.rpartition("-")[2] in tags for one in lost), "by that master alone"
    starts = sorted(fleet.record.of(result)[0].started for result in limited)
    assert starts[-1] - starts[0] >= 0.9 * 59 / 20
