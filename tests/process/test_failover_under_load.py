"""Four producers, four children, thousands of short tasks: the master is killed, replaced, or moves away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import redis

from streamtasks import State
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.fleet import Fleet
from tests.support.producers import Acknowledged, Producers
from tests.support.sentinel_trio import DOWN_AFTER_MS, SentinelTrio
from tests.support.switch_proxy import SwitchProxy
from tests.support.waiting import DEADLINE_S, wait_until
from tests.support.worker_process import Pids

pytestmark = pytest.mark.topology

OpenFleet = Callable[[str], Fleet]
Figure = Callable[[str], None]
Bounds = Callable[[float], float]

CHILDREN = 4
TASKS = 3000
BEFORE = TASKS // 4
"""So many are acknowledged when it happens."""
OUTAGE_S = DOWN_AFTER_MS / 1000 + 5
MOVED_S = 5.0
LEASE_S = 6.0
"""What a child had claimed by a call that was lost runs after so long."""
TAIL_S = 1.0
"""What a killed master had acknowledged earlier than this was replicated."""


class Load:
    """Four producers of short tasks, and a worker with four children; a context manager."""

    def __init__(self, fleet: Fleet, level: str) -> None:
        fleet.configure(timeout_s=60.0, enqueue_timeout_s=60.0, durability=level, durability_timeout_s=3.0)
        fleet.configure(lease_s=LEASE_S)
        self._fleet = fleet
        self._worker = fleet.start("--concurrency", str(CHILDREN))
        self._processes = self._whole()
        self._producers = [Producers(fleet.app, "nap", (0.002,), pause_s=0.0) for _ in range(2)]
        self._stack = ExitStack()

    def __enter__(self) -> Load:
        for each in self._producers:
            self._stack.enter_context(each)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def acknowledged(self) -> list[Acknowledged]:
        return [one for each in self._producers for one in each.all]

    def wait_for(self, count: int) -> None:
        """Wait until so many are acknowledged in all."""
        wait_until(lambda: len(self.acknowledged) >= count, f"{count} acknowledged", 3 * DEADLINE_S)

    def ended(self, figure: Figure, what: str) -> tuple[list[Acknowledged], float]:
        """Stop producing, wait until everything has its outcome; return what is lost, and the longest pause."""
        self._stack.close()
        everything = self.acknowledged
        states: dict[str, State | None] = {one.id: State.QUEUED for one in everything}

        def all_ended() -> bool:
            ids = [task_id for task_id, state in states.items() if state not in {None, State.SUCCESS}]
            for task_id, one in zip(ids, self._fleet.app.store.read(ids), strict=True):
                states[task_id] = None if one is None else one.state
            return all(state in {None, State.SUCCESS} for state in states.values())

        wait_until(all_ended, "every task has ended", 2 * DEADLINE_S)
        lost = [one for one in everything if states[one.id] is None]
        pause_s = max(pause for each in self._producers for pause in each.longest_pauses_s)
        errors = [error for each in self._producers for error in each.errors]
        repeated = len(self._fleet.record.executions()) - len(everything)
        figure(
            f"{what}: {len(everything)} acknowledged, {len(lost)} lost, {len(errors)} not durable, "
            f"pause {pause_s:.2f} s, {repeated:+} executions"
        )
        assert self._whole() == self._processes, "something was restarted"
        return lost, pause_s

    def _whole(self) -> Pids:
        def whole() -> Pids | None:
            found = self._worker.pids()
            return found if found.keeper and len(found.children) == CHILDREN else None

        found = wait_until(whole, "the worker is whole")
        assert found is not None
        return found


@pytest.mark.parametrize("how", ["kill", "failover"])
@pytest.mark.parametrize("level", ["replicated", "memory"])
def test_sentinels_promote_a_replica(
    open_fleet: OpenFleet, how: str, level: str, figure: Figure, bound: Bounds
) -> None:
    with SentinelTrio("valkey") as trio, Load(open_fleet(trio.url), level) as load:
        load.wait_for(BEFORE)
        old, happened = trio.master(), time.monotonic()
        if how == "kill":
            old.kill()
            trio.wait_other_master(old)
        else:
            trio.fail_over()
        switched = time.monotonic()
        load.wait_for(TASKS)
        lost, pause_s = load.ended(figure, f"{how}, {level}")
        assert pause_s < bound(OUTAGE_S)
        if level == "replicated":
            assert lost == []
        elif how == "kill":
            assert all(happened - bound(TAIL_S) < one.at for one in lost), "more than the tail is lost"
        else:
            assert all(happened - bound(TAIL_S) < one.at < switched + bound(3.0) for one in lost)


@pytest.fixture
def pair(own_server: Callable[..., EmbeddedServer]) -> Iterator[tuple[EmbeddedServer, EmbeddedServer]]:
    """A master and its replica."""
    old, new = own_server(), own_server()
    with redis.Redis.from_url(new.url, decode_responses=True) as client:
        client.replicaof("127.0.0.1", old.port)

        def follows() -> bool:
            info: Any = client.info("replication")
            return bool(info["master_link_status"] == "up")

        wait_until(follows, "the replica follows")
        yield old, new


def test_the_address_leads_to_the_replica(
    pair: tuple[EmbeddedServer, EmbeddedServer], open_fleet: OpenFleet, figure: Figure, bound: Bounds
) -> None:
    """REPLICAOF on both and a changed address, as with a floating one or a changed name: no connection is closed."""
    old, new = pair
    with SwitchProxy(old.port) as proxy, Load(fleet := open_fleet(proxy.url), "memory") as load:
        load.wait_for(BEFORE)
        with redis.Redis.from_url(old.url) as was, redis.Redis.from_url(new.url) as becomes:
            becomes.replicaof("NO", "ONE")
            proxy.switch(new.port)
            was.replicaof("127.0.0.1", new.port)
        fleet.client.close()
        fleet.client = redis.Redis.from_url(new.url, decode_responses=True)
        moved = time.monotonic()
        load.wait_for(TASKS)
        new_ids = {one.id for one in load.acknowledged if one.at > moved}
        first = wait_until(
            lambda: [one for one in fleet.record.executions() if one.id in new_ids], "workers run new tasks"
        )[0]
        lost, pause_s = load.ended(figure, f"a changed address; new tasks run after {first.started - moved:.2f} s")
        assert pause_s < bound(MOVED_S)
        assert first.started - moved < bound(MOVED_S)
        assert all(moved - bound(TAIL_S) < one.at < moved + bound(TAIL_S) for one in lost)
