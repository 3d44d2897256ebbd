"""A master fails, or is replaced, while producers wait for replicas: nothing that was acknowledged is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from streamtasks import StreamTasks
from streamtasks.exceptions import NotDurable
from tests.support.producers import Producers
from tests.support.sentinel_trio import DOWN_AFTER_MS, SentinelTrio
from tests.support.servers import server_kinds
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.topology, pytest.mark.outage]

OUTAGE_S = DOWN_AFTER_MS / 1000 + 5
STALL_S = 0.8
"""Shorter than Sentinels take to call a server dead."""
EVERYSEC_S = 2.0
"""A call with files takes up to so long: the master's is written to disk once a second, then those of replicas."""
CASES = [
    *((kind, how, "replicated") for kind in server_kinds() for how in ("kill", "stall and kill", "failover")),
    *(("valkey", how, "aof") for how in ("kill", "failover")),  # Redis 7.0 has no WAITAOF
]
Figure = Callable[[str], None]
Bounds = Callable[[float], float]


def open_app(trio: SentinelTrio, **options: Any) -> StreamTasks:
    settings: dict[str, Any] = {"durability": "replicated", "durability_timeout_s": 3.0} | options
    app = StreamTasks(trio.url, timeout_s=60.0, enqueue_timeout_s=60.0, **settings)
    app.task(name="nothing")(print)
    return app


def has_both(client: redis.Redis) -> bool:
    info: Any = client.info("replication")
    return bool(info["connected_slaves"] == 2)


def lost(app: StreamTasks, producers: Producers) -> list[str]:
    """Return the messages that were acknowledged and are not there."""
    assert all(isinstance(error, NotDurable) for error in producers.errors), producers.errors
    ids = [one.id for one in producers.all]
    return [task_id for task_id, one in zip(ids, app.store.read(ids), strict=True) if one is None]


@pytest.mark.parametrize(("kind", "how", "level"), CASES)
def test_what_was_acknowledged_is_there(kind: str, how: str, level: str, figure: Figure, bound: Bounds) -> None:
    arguments = ("--appendonly", "yes") if level == "aof" else ()
    few = 300 if level == "replicated" else 3
    with SentinelTrio(kind, server_args=arguments) as trio:
        app = open_app(trio, durability=level)
        with Producers(app, "nothing", (), pause_s=0.0) as producers:
            producers.wait_for_more(few)
            old = trio.master()
            if how == "stall and kill":
                for server in trio.servers:
                    if server is not old:
                        server.pause()
                time.sleep(STALL_S)
            if how == "failover":
                trio.fail_over()
            else:
                old.kill()
                for server in trio.servers:
                    if server is not old:
                        server.resume()
                trio.wait_other_master(old)
                old.start()
            producers.wait_for_more(few)
            new = trio.client(trio.master())
            wait_until(lambda: has_both(new), "it has both replicas again")
            producers.wait_for_more(few)
        assert lost(app, producers) == []
        pause_s = max(producers.longest_pauses_s)
        figure(
            f"{kind}, {level}, {how}: {len(producers.all)} acknowledged, 0 lost, {len(producers.errors)} not durable; "
            f"pause {pause_s:.2f} s"
        )
        more_s = (STALL_S if how == "stall and kill" else 0.0) + (EVERYSEC_S if level == "aof" else 0.0)
        assert pause_s < bound(OUTAGE_S + more_s)


@pytest.mark.parametrize("old_is_back", [False, True], ids=["old master stays dead", "old master is back"])
@pytest.mark.parametrize("kind", server_kinds())
def test_the_next_failover_loses_nothing_either(kind: str, old_is_back: bool, figure: Figure) -> None:
    """What is acknowledged while one replica is away is there when the master dies before that one has caught up."""
    with SentinelTrio(kind) as trio:
        app = open_app(trio)
        with Producers(app, "nothing", (), pause_s=0.0) as producers:
            producers.wait_for_more(300)
            first = trio.master()
            first.kill()
            second = trio.wait_other_master(first)
            producers.wait_for_more(300)
            if old_is_back:
                first.start()  # Sentinels leave it a master for eight seconds, without any of our messages
                producers.wait_for_more(300)
            assert not has_both(trio.client(second))
            second.kill()
            third = trio.wait_other_master(second)
            assert third not in {first, second}
            # The last one waits for a replica: nothing is acknowledged by itself alone.
            before = len(producers.all)
            second.start()
            if not old_is_back:
                first.start()
            producers.wait_for_more(100)
        assert lost(app, producers) == []
        figure(f"{kind}: {before} acknowledged before the second failover, 0 lost")


def test_a_number_of_replicas_is_waited_for_whoever_is_away() -> None:
    with SentinelTrio("valkey") as trio:
        strict = open_app(trio, replicas=2)
        usual = open_app(trio)
        strict.tasks["nothing"].enqueue()
        away = next(server for server in trio.servers if server is not trio.master())
        away.kill()
        usual.tasks["nothing"].enqueue()
        with pytest.raises(NotDurable) as raised:
            strict.tasks["nothing"].enqueue()
        assert (raised.value.acknowledged, raised.value.replicas) == (1, 2)
        away.start()
        trio.client(away).replicaof("127.0.0.1", trio.master().port)
        wait_until(lambda: has_both(trio.master_client()), "it follows again")
        strict.tasks["nothing"].enqueue()
