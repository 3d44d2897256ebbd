"""A master fails, or is replaced, while producers wait for replicas: nothing that was acknowledged is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from streamtasks import StreamTasks
from streamtasks.exceptions import NotDurable
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.producers import Producers
from tests.support.sentinel_trio import DOWN_AFTER_MS, SERVICE, SentinelTrio
from tests.support.servers import server_kinds, skip_without_waitaof
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.topology, pytest.mark.outage]

OUTAGE_S = DOWN_AFTER_MS / 1000 + 5
STALL_S = 0.8
"""Shorter than Sentinels take to call a server dead."""
EVERYSEC_S = 2.0
"""A call with files takes up to so long: the master's is written to disk once a second, then those of replicas."""
CASES = [
    *((kind, how, "replicated") for kind in server_kinds() for how in ("kill", "stall and kill", "failover")),
    *(("valkey", how, "aof") for how in ("kill", "failover")),
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
        if level == "aof":
            skip_without_waitaof(trio.master_client())
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


def test_the_old_master_does_not_count_before_sentinels_would_promote_it() -> None:
    """A double fault: it follows already, but the replica that is away would be the next master, without the task."""
    with SentinelTrio("valkey") as trio:
        app = open_app(trio, durability_timeout_s=1.0)
        old = trio.master()
        seldom(trio, "publish-period")  # Sentinels leave it a master for four times as long
        new = trio.fail_over()
        [other] = set(trio.servers) - {old, new}

        def is_over() -> bool:  # one that leads it names the new master before it has noted its replicas
            seen = [of[other]["master-port"] for of in told(trio) if set(of) == {old, other}]
            return seen == [str(new.port)] * 3

        wait_until(is_over, "all Sentinels have seen the other replica as one of the new master")
        other.kill()
        wait_until(lambda: all("s_down" in of[other]["flags"] for of in told(trio)), "it is known to be away")
        seldom(trio, "info-period")
        trio.client(old).ping()  # what Sentinels have asked before is answered
        trio.client(old).replicaof("127.0.0.1", new.port)
        wait_until(lambda: trio.client(new).wait(1, 1) == 1, "the old master follows")
        assert all(of[old]["master-host"] == "?" for of in told(trio))
        with pytest.raises(NotDurable) as raised:
            app.tasks["nothing"].enqueue()
        assert (raised.value.acknowledged, raised.value.replicas) == (1, 2)
        seldom(trio, "info-period", 100)
        wait_until(lambda: all(of[old]["master-host"] != "?" for of in told(trio)), "it was seen as a replica")
        wait_until(lambda: accepts(app), "the only replica is enough now")


def seldom(trio: SentinelTrio, what: str, ms: int = 3_600_000) -> None:
    """Set how often Sentinels do something."""
    for sentinel in trio.sentinels:
        trio.client(sentinel).execute_command("SENTINEL", "DEBUG", what, ms)


def told(trio: SentinelTrio) -> list[dict[EmbeddedServer, dict[str, str]]]:
    """Return what each Sentinel tells of each replica."""
    of_port = {str(server.port): server for server in trio.servers}
    answers: list[Any] = [
        trio.client(sentinel).execute_command("SENTINEL", "REPLICAS", SERVICE) for sentinel in trio.sentinels
    ]
    replicas = [[_fields(one) for one in answer] for answer in answers]
    return [{of_port[one["port"]]: one for one in some} for some in replicas]


def _fields(one: Any) -> dict[str, str]:
    return dict(one) if isinstance(one, dict) else dict(zip(one[::2], one[1::2], strict=True))


def accepts(app: StreamTasks) -> bool:
    """Whether a task is as durable as asked for."""
    try:
        app.tasks["nothing"].enqueue()
    except NotDurable:
        return False
    return True


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
