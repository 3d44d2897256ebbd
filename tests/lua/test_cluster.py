"""The whole life of messages on a real Cluster, on shards of every master.

A Cluster refuses a script whose declared keys lie in different slots, and the laboratory refuses one that touches a
key it did not declare.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from redis.cluster import RedisCluster

from streamtasks import StoreSettings
from streamtasks.protocol.keys import Keys
from streamtasks.protocol.shards import ALL_TAGS, limiter_tag
from streamtasks.stores.redis.operations.queues import forget_queue_call, sweep_call
from streamtasks.stores.redis.operations.read import read_call
from streamtasks.stores.redis.operations.schedules import (
    delete_schedule_call,
    due_call,
    fire_call,
    pause_call,
    put_call,
    schedules_call,
    undeclare_call,
)
from streamtasks.stores.redis.operations.workflows import (
    gather_call,
    stage_call,
    unfold_call,
    unfolding_call,
    workflow_call,
)
from streamtasks.stores.schedule_store import DueSchedule
from streamtasks.stores.types import ClaimId, Limit, NewMessage
from streamtasks.stores.workflow_types import FanIn, NewWorkflow, Node
from tests.support.schedule_samples import FAR_MS, PAST_MS, declared, firing, schedule
from tests.support.script_lab import ScriptLab, outcome
from tests.support.server_dump import Stream

pytestmark = pytest.mark.topology

SOME_TAGS = ALL_TAGS[:16:5]


@pytest.fixture
def client(cluster_url: str) -> Iterator[RedisCluster]:
    client = RedisCluster.from_url(cluster_url, protocol=2)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture(params=SOME_TAGS)
def lab(request: pytest.FixtureRequest, client: RedisCluster) -> ScriptLab:
    """The shard of one tag, on the master that has its slot."""
    key = Keys("t:", request.param).ready
    node = client.get_node_from_key(key)
    assert node is not None
    return ScriptLab(client.get_redis_connection(node), tag=request.param)


def test_enqueue_claim_settle(lab: ScriptLab) -> None:
    lab.enqueue("a", "b", body=b"body")
    lab.enqueue("c", queue="mail", priority=7)
    claimed = lab.claim().claimed
    assert [c.id for c in claimed] == ["c", "a", "b"]
    lab.progress(claimed[0], data=b"1")
    lab.mark_running(claimed[0], ago_ms=5)
    assert lab.renew(claimed[0].token) == [1]
    with lab.listen(lab.keys.done_channel("c")) as listener:
        assert lab.settle(*(outcome(c, started=5) for c in claimed)) == [1, 1, 1]
        assert listener.heard() == ["c"]
    assert lab.record("c").state == "SUCCESS"
    assert not {"messages", "state", "leases", "batches", "running", "ready", "progress"} & set(lab.dump())
    assert lab.enqueue("a") == [0]


def test_delayed_and_promoted(lab: ScriptLab) -> None:
    with lab.listen(lab.keys.control) as listener:
        lab.enqueue("a", delay_ms=60_000)
        assert listener.heard() == [f"due {lab.now + 60_000}"]
    lab.make_due("a")
    assert lab.promote() == (0, 0, ["0:default"])
    assert lab.promote("0:default") == (1, -1, [])
    assert lab.claim_one().id == "a"


def test_claimed_and_handed_back(lab: ScriptLab) -> None:
    lab.enqueue("a", "b", "c")
    [a] = lab.claim("w", 1, count=1).claimed
    lab.claim("w", 2, count=1)
    assert lab.hand_back(a, invalidate=ClaimId("w", 2), gone=True) == ([], [1])
    assert lab.claim("v", 1).ids == ["a", "b", "c"]


def test_crashed(lab: ScriptLab) -> None:
    lab.enqueue("a")
    assert lab.charge(lab.claim_one("w", 1)) == [1]
    assert lab.charge(lab.claim_one("w", 2)) == [2]
    lab.make_due("a")
    lab.promote("0:default")
    third = lab.claim_one("w", 3)
    assert lab.charge(third) == [3]
    assert lab.settle(outcome(third, "DEAD", note="crashed")) == [1]


def test_retried(lab: ScriptLab) -> None:
    lab.enqueue("a", "b")
    a, b = lab.claim("w", 1).claimed
    assert lab.settle(outcome(a, "RETRY", started=5), outcome(b, "RETRY", started=5, delay_ms=60_000)) == [1, 1]
    assert lab.claim("w", 2).ids == ["a"]
    assert len(lab.read("a", "b", "c")) == 3


def test_reclaimed(lab: ScriptLab) -> None:
    lab.enqueue("a", "b")
    lab.claim("gone", 1)
    lab.beat("host")
    lab.expire_leases("gone#1")
    assert lab.reclaim("0:default") == (2, [], [], 0)
    assert lab.dump()["q:0:default"] == Stream(["a", "b"], {"a": "suspect", "b": "suspect"})
    assert lab.claim("w", 1).ids == ["a"]
    assert lab.beat("host", "") == 0


def test_revoked_forgotten_and_looked_at(lab: ScriptLab) -> None:
    lab.settings = StoreSettings(send_events=True)
    lab.enqueue("a", "b")
    lab.enqueue("c", after="b")
    a, b = lab.claim("w", 1).claimed
    lab.mark_running(a)
    assert lab.revoke("a", terminate=True) == [2, ""]
    assert lab.revocations(a, b) == ["terminate", ""]
    assert lab.active()[0] == "a"
    assert lab.revoke("c", "0:default") == [1, ""]
    assert lab.revoke("d") == [0, ""]
    assert lab.enqueue("d") == [2]  # revoked before it came: whoever enqueues it revokes it now
    assert lab.revoke("d", "0:default") == [1, ""]
    follow = (NewMessage("e", "mail", 0, b"E"), NewMessage("f", "mail", 0, b"F", after="e"))
    assert lab.settle(outcome(a, started=5), outcome(b, started=5, follow=follow), callbacks="all") == [1, 1]
    assert lab.statistics("REVOKED", "SUCCESS")[3] == ["3", "1"]
    assert lab.revoke("e", "0:mail") == [1, ""]
    assert lab.line("f") == "- D 0:mail - 0 0 0 0 0 - x=parent:e"
    lab.beat("host")
    assert lab.workers()[0] == "host"
    hour = lab.now // 3_600_000
    assert lab.forget(hour, *lab.finished(hour)) == 5
    left = tuple(lab.raw(forget_queue_call(lab.keys, "default")))
    assert left[1] > 0, "callback messages"
    assert lab.raw(sweep_call(lab.keys, ["0:default", "0:mail"], 0, 0, "", 16))[2] == [b"0:default", b"0:mail"]
    assert lab.events()[0][1] == ["kind", "accepted", "a", "0:default", "b", "0:default"]


def test_a_workflow(lab: ScriptLab) -> None:
    slow = Limit("mail", 3_600_000_000)
    nodes = [
        Node(NewMessage(f"wf.w{number}", "default", 0, b"{}", limit=limit), waits_for, then)
        for number, waits_for, then, limit in ((0, "", "g0.0", None), (1, "", "g0.1", None), (2, "wf", "-", slow))
    ]
    new = NewWorkflow("wf", nodes, 2, [FanIn(2, 2, first=2, last=2)], b"{}")
    lab.run(stage_call(lab.keys, new, nodes, [(0, new.fan_ins[0])], (), first=True))
    assert lab.run(unfold_call(lab.keys, "wf", ["0:default"], lab.settings, "live"))[1:] == [2, 0, ""]
    a, b = lab.claim("w", 1).claimed
    kept = b"x" * 100
    assert lab.settle(outcome(a, started=5, result=kept), outcome(b, started=5)) == [1, 1]
    assert lab.run(gather_call(lab.keys, "wf", "r0", 0))[0] == 2
    assert [len(part) for part in lab.raw(read_call(lab.keys, ["wf.w0", "wf.w1"]))] == [2, 1]
    assert lab.revoke("wf.w2", "0:default") == [1, ""]
    assert lab.run(workflow_call(lab.keys, "wf", [0]))[:3] == ["3", "3", "1"]
    assert lab.run(unfolding_call(lab.keys, 10))[1:] == [-1]


def test_schedules(lab: ScriptLab) -> None:
    assert lab.run(put_call(lab.keys, [schedule("a")], 0))[1:] == [1]
    assert lab.run(put_call(lab.keys, [declared("b", 5), declared("c", 5)], 0))[1:] == [1, 1]
    assert lab.run(pause_call(lab.keys, "b", None))[1:] == [1]
    assert lab.run(due_call(lab.keys, 10, {}))[2::3] == ["a", "c"]
    brought = firing(DueSchedule("a", 1, b"{}", PAST_MS), tag=lab.tag)
    assert lab.run(fire_call(lab.keys, [brought], lab.settings))[1:] == [1]
    assert lab.run(schedules_call(lab.keys, ["a"]))[3].startswith(f"0 {FAR_MS} 1 0 {PAST_MS} ")
    assert lab.claim().ids == [brought.messages[0].id]
    assert lab.run(undeclare_call(lab.keys, "shop", 60_000))[1:] == [0]
    assert lab.run(undeclare_call(lab.keys, "shop", -1))[1:] == [0, "b", "c"]
    assert lab.run(delete_schedule_call(lab.keys, "a"))[1:] == [1]


def test_rate_limits_are_counted_in_another_slot_than_the_shards(client: RedisCluster) -> None:
    def lab_of(tag: str) -> ScriptLab:
        node = client.get_node_from_key(Keys("t:", tag).ready)
        assert node is not None
        return ScriptLab(client.get_redis_connection(node), tag=tag)

    limit = Limit("mail", 3_600_000_000)
    here = lab_of(limiter_tag(limit.name, ALL_TAGS))
    granted = []
    for tag in [tag for tag in SOME_TAGS if tag != here.tag]:
        lab = lab_of(tag)
        lab.enqueue(f"a-{tag}", limit=limit)
        asks = lab.admit()[0].asks
        [grant] = here.take(*asks)
        granted.append(grant.tokens)
        assert lab.admit(grant, names=["0:default"])[0].admitted == grant.tokens
        assert [c.id for c in lab.claim().claimed] == [f"a-{tag}"] * grant.tokens
    assert granted[:2] == [1, 0], "one for all shards"


def test_shards_are_spread_over_all_masters(client: RedisCluster) -> None:
    assert set(StoreSettings().tags) <= set(ALL_TAGS)
    masters: Counter[str] = Counter()
    for tag in ALL_TAGS:
        node = client.get_node_from_key(Keys("any:", tag).ready)
        assert node is not None
        masters[str(node.name)] += 1
    assert sorted(masters.values()) == [21, 21, 22]


def test_some_shards_of_these_tests_are_on_every_master(client: RedisCluster) -> None:
    nodes = [client.get_node_from_key(Keys("t:", tag).ready) for tag in SOME_TAGS]
    assert len({str(node.name) for node in nodes if node is not None}) == 3
