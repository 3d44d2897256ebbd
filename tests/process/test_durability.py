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
from tests.support.sentinel_trio import SentinelTrio
from tests.support.servers import server_kinds
from tests.support.waiting import wait_until

pytestmark = pytest.mark.topology


def has_both(client: redis.Redis) -> bool:
    info: Any = client.info("replication")
    return bool(info["connected_slaves"] == 2)


def who_comes_now_waits_for_both(trio: SentinelTrio) -> None:
    """The new master has one replica; a Sentinel knows that the other one is only away."""
    app = StreamTasks(
        trio.url, timeout_s=50.0, enqueue_timeout_s=50.0, durability="replicated", durability_timeout_s=0.2
    )
    with pytest.raises(NotDurable) as raised:
        app.task(name="nothing")(print).enqueue()
    assert raised.value.replicas == 2
    assert raised.value.acknowledged < 2


@pytest.mark.parametrize("how", ["kill", "stall and kill", "failover"])
@pytest.mark.parametrize("kind", server_kinds())
def test_what_was_acknowledged_is_there(kind: str, how: str, figure: Callable[[str], None]) -> None:
    with SentinelTrio(kind) as trio:
        app = StreamTasks(
            trio.url, timeout_s=60.0, enqueue_timeout_s=60.0, durability="replicated", durability_timeout_s=3.0
        )
        app.task(name="nothing")(print)
        with Producers(app, "nothing", (), pause_s=0.0) as producers:
            producers.wait_for_more(300)
            old = trio.master()
            if how == "stall and kill":
                for server in trio.servers:
                    if server is not old:
                        server.pause()
                time.sleep(0.8)  # shorter than Sentinels take to call a server dead
            if how == "failover":
                trio.fail_over()
            else:
                old.kill()
                for server in trio.servers:
                    if server is not old:
                        server.resume()
                trio.wait_other_master(old)
                who_comes_now_waits_for_both(trio)
                old.start()
            new = trio.client(trio.master())
            wait_until(lambda: has_both(new), "it has both replicas again")
            producers.wait_for_more(100)
        acknowledged = [one.id for one in producers.all]
        found = app.store.read(acknowledged)
        lost = [task_id for task_id, one in zip(acknowledged, found, strict=True) if one is None]
        figure(
            f"{kind}, {how}: {len(acknowledged)} acknowledged, {len(lost)} lost, {len(producers.errors)} not durable; "
            f"pauses {max(producers.longest_pauses_s):.2f} s"
        )
        assert not lost
        assert all(isinstance(error, NotDurable) for error in producers.errors), producers.errors
