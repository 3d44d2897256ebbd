"""revoke: up to 100 messages in one call, answered one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from streamtasks.stores.redis.batches import MOST_BYTES
from streamtasks.stores.redis.operations.revoke import revoke_many
from streamtasks.stores.redis.shards import Shards
from streamtasks.stores.types import Limit, Revocation
from tests.lua.test_revoke import FINISHED, GONE, MARKED, NAME, STREAM_WANTED, UNKNOWN
from tests.support.script_lab import ScriptLab, outcome
from tests.support.shard_view import REVOKED_MS
from tests.support.workflow_scripts import ID, LIVE, STAGED, chord, pair, stage, start, unfold


def shards_of(lab: ScriptLab) -> Shards:
    return Shards(replace(lab.settings, key_prefix=lab.prefix))


def mixed(lab: ScriptLab) -> list[tuple[str, str]]:
    """One message in every state that a revocation may meet, and the names of their streams."""
    lab.enqueue("done", "held", "retried")
    claimed = {c.id: c for c in lab.claim(count=3).claimed}
    lab.settle(outcome(claimed["done"]), outcome(claimed["retried"], "RETRY", delay_ms=60_000))
    lab.enqueue("queued")
    lab.enqueue("delayed", delay_ms=60_000, queue="mail", priority=5)
    lab.enqueue("blocked", after="held")
    lab.enqueue("limited", limit=Limit("slow", 60_000_000, 1))
    streams = {"queued": NAME, "delayed": "5:mail"}
    ids = ["done", "held", "retried", "queued", "delayed", "blocked", "limited", "unknown"]
    return [(task_id, streams.get(task_id, "")) for task_id in ids]


def test_every_member_has_its_own_answer(lab: ScriptLab) -> None:
    members = mixed(lab)
    codes = [code for code, _ in lab.revoke_many(*members)]
    assert codes == [FINISHED, MARKED, GONE, GONE, GONE, GONE, GONE, UNKNOWN]
    left = lab.dump()
    assert (left["totals"]["SUCCESS"], left["totals"]["REVOKED"]) == ("1", "5")
    assert set(left["state"]) == {"held"}
    assert not {"delayed", "waiting", "history"} & set(left)
    assert lab.record("retried").reports == [{"kind": "RETRY"}]


def test_a_second_call_changes_nothing(lab: ScriptLab) -> None:
    members = mixed(lab)
    first = lab.revoke_many(*members)
    before = lab.dump()
    assert lab.revoke_many(*members) == first
    assert {name: content for name, content in lab.dump().items() if name != "r:unknown (expires)"} == {
        name: content for name, content in before.items() if name != "r:unknown (expires)"
    }


def test_it_writes_what_calls_of_one_write(lab: ScriptLab) -> None:
    def left() -> dict[str, Any]:
        found = lab.dump()
        names = ("totals", "delayed", "waiting", "history", "links", "ready", "streams", "wake")
        return {name: found.get(name) for name in names} | {
            "state": set(found["state"]),
            "records": sorted(n for n in found if n.startswith("r:")),
        }

    for member in mixed(lab):
        lab.revoke(member[0], member[1] or NAME)
    one_by_one = left()
    lab.client.flushall()
    lab.revoke_many(*mixed(lab))
    assert left() == one_by_one


def test_members_given_twice_count_once(lab: ScriptLab) -> None:
    lab.enqueue("a")
    assert lab.revoke_many(("a", NAME), ("a", NAME)) == [(GONE, ""), (GONE, "")]
    assert lab.dump()["totals"] == {"REVOKED": "1"}


def test_members_whose_streams_were_not_brought_are_left(lab: ScriptLab) -> None:
    lab.enqueue("a", "b")
    lab.enqueue("c", delay_ms=60_000, queue="mail")
    answers = lab.revoke_many(("a", NAME), ("b", ""), ("c", ""))
    assert answers == [(GONE, ""), (STREAM_WANTED, ""), (STREAM_WANTED, "0:mail")]
    assert lab.dump()["totals"] == {"REVOKED": "1"}


def test_it_stops_when_the_bodies_are_too_large(lab: ScriptLab) -> None:
    lab.enqueue("a", "b", "c", body=b"x" * 600)
    members = [(task_id, NAME) for task_id in "abc"]
    assert lab.revoke_many(*members, most_bytes=1000) == [(GONE, ""), (GONE, "")]
    assert lab.dump()["totals"] == {"REVOKED": "2"}
    assert lab.revoke_many(*members, most_bytes=1000) == [(GONE, "")] * 3


def test_held_messages_cost_nothing_however_large(lab: ScriptLab) -> None:
    lab.enqueue("a", "b", "c", body=b"x" * 600)
    lab.claim(count=3)
    members = [(task_id, NAME) for task_id in "abc"]
    assert lab.revoke_many(*members, terminate=True, most_bytes=1000) == [(MARKED, "")] * 3
    assert all((lab.line(task_id) or "").endswith(" x=terminate") for task_id in "abc")


def test_nodes_of_several_workflows(lab: ScriptLab) -> None:
    start(lab, pair())
    other = chord()._replace(id="other")
    other = other._replace(
        nodes=[
            one._replace(message=one.message._replace(id=one.message.id.replace(ID, "other"))) for one in other.nodes
        ]
    )
    lab.enqueue("plain")
    assert stage(lab, other) == STAGED
    members = [("other.w2", ""), (f"{ID}.w1", NAME), (f"{ID}.w0", ""), ("plain", NAME)]
    codes = [code for code, _ in lab.revoke_many(*members)]
    assert codes[1:] == [GONE, GONE, GONE]
    counts = lab.client.hmget(lab.keys.workflow(ID), "done", "failed")
    assert counts == [b"2", b"2"]
    assert lab.client.pttl(lab.keys.workflow(ID)) > 0


def test_nodes_of_a_call_do_not_let_each_other_go(lab: ScriptLab) -> None:
    start(lab, chord())
    assert [code for code, _ in lab.revoke_many(*((f"{ID}.w{n}", NAME) for n in (2, 1, 0)))] == [GONE] * 3
    assert "state" not in lab.dump()
    assert lab.client.hget(lab.keys.workflow(ID), "done") == b"3"


def test_the_operation_learns_streams_and_reads_envelopes(lab: ScriptLab) -> None:
    queues = [f"q{n}" for n in range(5)]
    for queue in queues:
        lab.enqueue(queue, queue=queue, body=b'{"v":1,"id":"x","t":"t","a":[],"k":{},"q":"%s","p":0}' % queue.encode())
    lab.enqueue("later", delay_ms=60_000, queue="mail")
    ids = [*queues, "later", "unknown", queues[0]]
    shards = shards_of(lab)
    codes, rounds = lab.complete(revoke_many(shards, ids))
    assert codes == [Revocation.GONE] * 6 + [Revocation.UNKNOWN, Revocation.GONE]
    assert rounds == 3
    assert lab.dump()["totals"] == {"REVOKED": "6"}


def test_thousands_take_calls_of_a_hundred(lab: ScriptLab) -> None:
    ids = [f"{n}" for n in range(1234)]
    for start_at in range(0, len(ids), 100):
        lab.enqueue(*ids[start_at : start_at + 100], delay_ms=60_000)
    codes, rounds = lab.complete(revoke_many(shards_of(lab), ids))
    assert codes == [Revocation.GONE] * len(ids)
    assert rounds <= 4  # one to learn the stream, then ten calls in each
    assert lab.dump()["totals"] == {"REVOKED": "1234"}


def test_large_bodies_take_more_calls(lab: ScriptLab) -> None:
    size = MOST_BYTES // 4
    for n in range(12):
        lab.enqueue(f"{n}", body=b"x" * size, delay_ms=60_000)
    codes, _ = lab.complete(revoke_many(shards_of(lab), [f"{n}" for n in range(12)]))
    assert codes == [Revocation.GONE] * 12


def test_who_waits_for_many_of_a_call_goes_on_in_steps(lab: ScriptLab) -> None:
    parents = [f"p{n}" for n in range(100)]
    lab.enqueue(*parents)
    for parent in parents:
        lab.enqueue(*(f"{parent}.{n}" for n in range(5)), after=parent)
    lab.revoke_many(*((parent, NAME) for parent in parents))
    freed = [task_id for task_id in lab.dump()["delayed"] if not task_id.startswith("free ")]
    assert len(freed) == 100
    while lab.promote(NAME)[0]:
        pass
    assert "delayed" not in lab.dump()
    assert "links" not in lab.dump()


class TestNodesThatAreNotLive:
    def test_one_that_has_not_come_is_remembered_by_its_workflow(self, lab: ScriptLab) -> None:
        assert lab.revoke(f"{ID}.w1", NAME) == [UNKNOWN, ""]
        before = lab.dump()
        assert before.keys() == {f"r:{ID}.w1 (expires)", f"w:{ID} (expires)"}
        assert before[f"w:{ID} (expires)"] == {"x1": "1", "cancel": "n1\n"}
        assert lab.client.pttl(lab.keys.workflow(ID)) <= REVOKED_MS
        assert lab.revoke(f"{ID}.w1", NAME) == [UNKNOWN, ""]
        assert lab.dump()[f"w:{ID} (expires)"] == before[f"w:{ID} (expires)"]
        assert stage(lab, pair()) == STAGED
        assert lab.client.pttl(lab.keys.workflow(ID)) == -1
        assert unfold(lab, "live") == [LIVE, 0, "n1\n"]

    def test_one_that_is_staged_waits_for_its_workflow(self, lab: ScriptLab) -> None:
        assert stage(lab, pair()) == STAGED
        assert lab.revoke_many((f"{ID}.w0", NAME), (f"{ID}.w1", NAME), terminate=True) == [(UNKNOWN, "")] * 2
        assert set(lab.dump()["state"]) == {f"{ID}.w0", f"{ID}.w1"}
        assert stage(lab, pair()) == STAGED
        assert unfold(lab, "live") == [LIVE, 0, "n0!\nn1!\n"]
        assert (lab.line(f"{ID}.w0") or "").endswith("x=revoked")

    def test_one_that_is_let_go_before_it_is_revoked_does_not_start(self, lab: ScriptLab) -> None:
        assert lab.revoke(f"{ID}.w0", NAME) == [UNKNOWN, ""]
        start_at = stage(lab, chord())
        assert start_at == STAGED
        unfold(lab, "live")
        claimed = {c.id: c for c in lab.claim(count=10).claimed}
        assert claimed[f"{ID}.w0"].skip_reason == "revoked"
        assert not claimed[f"{ID}.w1"].skip_reason

    def test_what_was_done_is_taken_off(self, lab: ScriptLab) -> None:
        lab.revoke_many((f"{ID}.w0", NAME), (f"{ID}.w1", NAME), (f"{ID}.w2", NAME))
        stage(lab, chord())
        assert unfold(lab, "live") == [LIVE, 0, "n0\nn1\nn2\n"]
        assert unfold(lab, "canceled", "n0\nn1") == [LIVE, 0, "n2\n"]
        assert unfold(lab, "canceled", "n2") == [LIVE, 0, ""]

    def test_the_answer_of_unfold_is_short(self, lab: ScriptLab) -> None:
        numbers = range(1000, 3000)
        for first in range(1000, 3000, 100):
            lab.revoke_many(*((f"{ID}.w{n}", NAME) for n in range(first, first + 100)))
        stage(lab, pair())
        _, _, whom = unfold(lab, "live")
        assert len(whom) <= 4000
        assert whom.splitlines() == [f"n{n}" for n in numbers[: len(whom.splitlines())]]

    @pytest.mark.parametrize("task_id", ["report.w3", f"{ID}.w03", ".w1", f"{ID}.w99999999999999999999"])
    def test_what_is_no_node_is_remembered_as_any_task(self, lab: ScriptLab, task_id: str) -> None:
        assert lab.revoke(task_id, NAME) == [UNKNOWN, ""]
        assert lab.enqueue(task_id) == [2]
        assert lab.revoke(task_id, NAME) == [GONE, ""]
