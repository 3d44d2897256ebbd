"""What settle and revoke do for workflows: every key compared."""

from __future__ import annotations

from streamtasks.stores.redis.operations.read import read_call
from streamtasks.stores.redis.operations.settle import settle_call
from streamtasks.stores.redis.operations.workflows import gather_call, unfolding_call, workflow_call
from streamtasks.stores.redis.snapshots import from_reply
from streamtasks.stores.workflow_types import NewWorkflow
from tests.support.script_lab import KEEP_MS, ScriptLab, outcome
from tests.support.shard_view import REVOKED_MS
from tests.support.workflow_scripts import ID, LIVE, blocked, chord, fields, idle, node, pair, stage, start, unfold


class TestSettle:
    def test_the_next_of_a_chain_goes_and_finds_the_result(self, lab: ScriptLab) -> None:
        start(lab, pair())
        claimed = lab.claim_one()
        assert lab.settle(outcome(claimed, result=b"seven")) == [1]
        assert fields(lab)["v0"] == "seven"
        assert fields(lab)["done"] == "1"
        assert lab.line(f"{ID}.w1") == idle("-")
        assert lab.run(gather_call(lab.keys, ID, "v0", 0)) == [1, "seven"]
        assert lab.claim("w", 2).ids == [f"{ID}.w1"]

    def test_after_a_failure_the_next_must_fail(self, lab: ScriptLab) -> None:
        start(lab, pair())
        lab.settle(outcome(lab.claim_one(), "FAILURE"))
        [claimed] = lab.claim("w", 2).claimed
        assert (claimed.id, claimed.skip_reason) == (f"{ID}.w1", f"parent {ID}.w0")
        assert "v0" not in fields(lab)
        assert fields(lab)["failed"] == "1"

    def test_the_last_member_lets_the_body_go_with_all_results_in_order(self, lab: ScriptLab) -> None:
        start(lab, chord())
        first, second = lab.claim().claimed
        assert lab.settle(outcome(second, started=5, result=b"B")) == [1]
        assert lab.line(f"{ID}.w2") == blocked("-", ID)
        assert fields(lab)["g0"] == "2 2 F n 2 2 1 0 o"
        with lab.listen(lab.keys.done_channel(ID)) as listener:
            assert lab.settle(outcome(first, started=5, result=b"A")) == [1]
            assert ID in listener.heard()
        assert fields(lab)["g0"] == "2 2 F n 2 2 2 0 r"
        assert lab.line(f"{ID}.w2") == idle("-")
        members = [f"SUCCESS {ID}.w0\nA", f"SUCCESS {ID}.w1\nB"]
        assert lab.run(gather_call(lab.keys, ID, "r0", 0)) == [2, *members]

    def test_a_whole_chord_leaves_only_what_expires(self, lab: ScriptLab) -> None:
        start(lab, chord())
        first, second = lab.claim().claimed
        lab.settle(outcome(first, started=5), outcome(second, started=5))
        lab.settle(outcome(lab.claim_one("w", 2)))
        left = lab.dump()
        hour = lab.now // 3_600_000
        assert set(left) - {"wake", "wake:default"} == {
            f"w:{ID} (expires)",
            *(f"r:{ID}.w{number} (expires)" for number in range(3)),
            f"finished:{hour}:3 (expires)",
            f"counts:{hour} (expires)",
            "claim:w (expires)",
            "q:0:default",
            "streams",
            "totals",
            *({"ready"} if "ready" in left else set()),
        }
        assert 0 < lab.client.pttl(lab.keys.workflow(ID)) <= KEEP_MS
        assert lab.run(workflow_call(lab.keys, ID, [0]))[:3] == ["3", "3", "0"]

    def test_a_workflow_with_a_failure_is_kept_as_long_as_failures_are(self, lab: ScriptLab) -> None:
        start(lab, pair())
        lab.settle(outcome(lab.claim_one(), "FAILURE", keep_ms=REVOKED_MS))
        assert fields(lab)["keep"] == str(REVOKED_MS)
        lab.settle(outcome(lab.claim("w", 2).claimed[0], "FAILURE", started=0))
        assert KEEP_MS < lab.client.pttl(lab.keys.workflow(ID)) <= REVOKED_MS

    def test_settled_again_nothing_counts_twice(self, lab: ScriptLab) -> None:
        start(lab, chord())
        first, _ = lab.claim().claimed
        done = outcome(first, started=5)
        assert lab.settle(done) == [1]
        before = fields(lab)
        assert lab.settle(done) == [2]
        assert fields(lab) == before

    def test_the_first_failure_fails_the_body_and_the_rest_is_noted_as_late(self, lab: ScriptLab) -> None:
        start(lab, chord())
        first, second = lab.claim().claimed
        lab.settle(outcome(first, "FAILURE", started=5, result=b"E"))
        assert lab.line(f"{ID}.w2") == idle("-", f" x=parent:{ID}.w0")
        lab.settle(outcome(second, started=5, result=b"B"))
        members = [f"FAILURE {ID}.w0\nE", f"-SUCCESS {ID}.w1\nB"]
        assert lab.run(gather_call(lab.keys, ID, "r0", 0)) == [2, *members]
        assert fields(lab)["g0"] == "2 2 F n 2 2 1 1 f"

    def test_failures_that_are_collected_let_the_body_go(self, lab: ScriptLab) -> None:
        start(lab, chord(collects=True))
        first, second = lab.claim().claimed
        lab.settle(outcome(first, "FAILURE", started=5), outcome(second, started=5))
        assert lab.line(f"{ID}.w2") == idle("-")

    def test_a_failure_may_cancel_the_others(self, lab: ScriptLab) -> None:
        start(lab, chord(cancels=True))
        first, _ = lab.claim().claimed
        with lab.listen(lab.keys.control) as listener:
            lab.settle(outcome(first, "FAILURE", started=5))
            assert listener.heard() == ["unfold"]
        assert fields(lab)["cancel"] == "0\n"
        assert lab.dump()["unfolding"] == {ID: lab.now}
        assert lab.run(unfolding_call(lab.keys, 10))[1:] == [-1, ID]

    def test_many_that_follow_go_in_steps(self, lab: ScriptLab) -> None:
        nodes = [node(0, "1-150"), *(node(number, "-", f"{ID}.w0") for number in range(1, 151))]
        new = NewWorkflow(ID, nodes, 1, (), b"{}")
        for at in (0, 100):
            stage(lab, new, nodes[at : at + 100], first=at == 0)
        unfold(lab, "live")
        lab.settle(outcome(lab.claim_one()))
        assert fields(lab)["todo"] == "101 150 -\n"
        assert len(lab.dump()["q:0:default"].entries) == 100
        assert unfold(lab) == [LIVE, 0, ""]
        assert len(lab.dump()["q:0:default"].entries) == 150

    def test_an_id_that_only_looks_like_a_node_is_an_ordinary_one(self, lab: ScriptLab) -> None:
        lab.enqueue("mine.w3")
        assert lab.settle(outcome(lab.claim_one())) == [1]
        assert f"w:{'mine'}" not in lab.dump()


class TestKeptOnce:
    """A result that a workflow keeps does not stand in the record of its node a second time."""

    LONG = "long" * 16

    def raw_record(self, lab: ScriptLab, number: int) -> bytes:
        found: bytes = lab.client.get(lab.keys.record(f"{ID}.w{number}"))
        return found

    def result(self, lab: ScriptLab, number: int) -> bytes | None:
        """As a reader of the record gets it."""
        task_id = f"{ID}.w{number}"
        [reply] = lab.raw(read_call(lab.keys, [task_id]))
        found = from_reply(task_id, reply)
        return None if found is None else found.result

    def test_of_a_member(self, lab: ScriptLab) -> None:
        start(lab, chord())
        first, second = lab.claim().claimed
        lab.settle(outcome(first, started=5, result=self.LONG.encode()))
        lab.settle(outcome(second, "FAILURE", started=5, result=b"e" * 70))
        assert self.LONG.encode() not in self.raw_record(lab, 0)
        assert self.raw_record(lab, 0).endswith(b" r0.0\n" + first.body)
        assert self.result(lab, 0) == self.LONG.encode()
        assert self.result(lab, 1) == b"e" * 70
        members = [f"SUCCESS {ID}.w0\n{self.LONG}", f"FAILURE {ID}.w1\n{'e' * 70}"]
        assert lab.run(gather_call(lab.keys, ID, "r0", 0)) == [2, *members]

    def test_of_what_one_other_follows(self, lab: ScriptLab) -> None:
        start(lab, pair())
        lab.settle(outcome(lab.claim_one(), result=self.LONG.encode()))
        assert self.LONG.encode() not in self.raw_record(lab, 0)
        assert self.result(lab, 0) == self.LONG.encode()
        last = lab.claim_one("w", 2)
        lab.settle(outcome(last, result=self.LONG.encode()))
        assert self.raw_record(lab, 1).endswith(self.LONG.encode())
        assert self.result(lab, 1) == self.LONG.encode()

    def test_a_failure_that_nobody_reads_stays_in_its_record(self, lab: ScriptLab) -> None:
        start(lab, pair())
        lab.settle(outcome(lab.claim_one(), "FAILURE", result=self.LONG.encode()))
        assert self.raw_record(lab, 0).endswith(self.LONG.encode())
        assert self.result(lab, 0) == self.LONG.encode()

    def test_a_short_one_stays_in_its_record(self, lab: ScriptLab) -> None:
        start(lab, chord())
        lab.settle(outcome(lab.claim().claimed[0], started=5, result=b"x" * 63))
        assert self.raw_record(lab, 0).endswith(b"x" * 63)

    def test_reports_of_earlier_attempts_are_read_all_the_same(self, lab: ScriptLab) -> None:
        start(lab, chord())
        first = lab.claim_one()
        lab.settle(outcome(first, "RETRY", note='{"kind":"RETRY","n":7}'))
        second = next(one for one in lab.claim("w", 2).claimed if one.id == first.id)
        lab.settle(outcome(second, started=5, result=self.LONG.encode()))
        [reply] = lab.raw(read_call(lab.keys, [first.id]))
        found = from_reply(first.id, reply)
        assert found is not None
        assert (found.result, [report["n"] for report in found.reports]) == (self.LONG.encode(), [7])

    def test_the_workflow_outlives_every_record_that_points_into_it(self, lab: ScriptLab) -> None:
        start(lab, chord())
        first, second = lab.claim().claimed
        lab.settle(outcome(first, started=5, result=self.LONG.encode(), keep_ms=KEEP_MS * 5))
        lab.settle(outcome(second, started=5, keep_ms=KEEP_MS // 2))
        lab.settle(outcome(lab.claim_one("w", 2)))
        assert lab.client.pttl(lab.keys.workflow(ID)) >= lab.client.pttl(lab.keys.record(first.id)) > KEEP_MS

    def test_a_record_may_expire_before_the_body_reads_the_result(self, lab: ScriptLab) -> None:
        start(lab, chord())
        first, second = lab.claim().claimed
        lab.settle(outcome(first, started=5, result=self.LONG.encode()))
        lab.client.delete(lab.keys.record(first.id))
        lab.settle(outcome(second, started=5))
        assert self.result(lab, 0) is None
        assert lab.run(gather_call(lab.keys, ID, "r0", 0))[1] == f"SUCCESS {ID}.w0\n{self.LONG}"

    def test_a_clean_up_takes_nothing_from_a_live_workflow(self, lab: ScriptLab) -> None:
        start(lab, chord())
        first, _ = lab.claim().claimed
        lab.settle(outcome(first, started=5, result=self.LONG.encode()))
        hour = lab.hour()
        assert lab.forget(hour, *lab.finished(hour), before_ms=lab.now + 1, known_ms=900_000) == 1
        assert self.result(lab, 0) is None
        assert lab.run(gather_call(lab.keys, ID, "r0", 0))[1] == f"SUCCESS {ID}.w0\n{self.LONG}"

    def test_of_a_workflow_deleted_by_hand_nothing_is_made_up(self, lab: ScriptLab) -> None:
        start(lab, chord())
        first, second = lab.claim().claimed
        lab.settle(outcome(first, started=5, result=self.LONG.encode()))
        lab.client.delete(lab.keys.workflow(ID))
        assert self.result(lab, 0) is None
        lab.settle(outcome(second, started=5, result=self.LONG.encode()))
        assert self.result(lab, 1) == self.LONG.encode()


class TestRevoke:
    def test_a_member_that_waits_counts_as_failed(self, lab: ScriptLab) -> None:
        start(lab, chord())
        assert lab.revoke(f"{ID}.w0", "0:default")[0] == 1
        assert fields(lab)["g0"] == "2 2 F n 2 2 0 1 f"
        assert fields(lab)["r0.0"] == f"REVOKED {ID}.w0\n"
        assert fields(lab)["failed"] == fields(lab)["done"] == "1"
        assert lab.line(f"{ID}.w2") == idle("-", f" x=parent:{ID}.w0")

    def test_a_member_that_is_held_counts_when_it_is_settled(self, lab: ScriptLab) -> None:
        start(lab, chord())
        first, _ = lab.claim().claimed
        assert lab.revoke(first.id)[0] == 2
        assert fields(lab)["g0"] == "2 2 F n 2 2 0 0 o"
        lab.settle(outcome(first, started=5, result=b"A"))
        assert fields(lab)["r0.0"] == f"REVOKED {ID}.w0\n"

    def test_a_body_that_waits_ends_at_once(self, lab: ScriptLab) -> None:
        start(lab, chord())
        assert lab.revoke(f"{ID}.w2", "0:default")[0] == 1
        first, second = [one for one in lab.claim().claimed if not one.id.startswith("cb.")]
        lab.settle(outcome(first, started=5), outcome(second, started=5))
        assert fields(lab)["done"] == "3"
        assert lab.client.pttl(lab.keys.workflow(ID)) > 0


def test_settle_without_workflows_brings_no_key_of_one(lab: ScriptLab) -> None:
    lab.enqueue("a")
    call = settle_call(lab.keys, [outcome(lab.claim_one())], lab.hour(), lab.settings)
    assert not [key for key in call.keys if "}:w:" in key]
