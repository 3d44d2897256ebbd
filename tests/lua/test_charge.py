"""charge: a child's death counts against what ran in it: at once, after a delay, then never again."""

from __future__ import annotations

import pytest

from streamtasks.protocol.keys import GROUP
from tests.support.script_lab import ScriptLab, outcome
from tests.support.server_dump import Stream


class TestAccounting:
    def test_the_first_crash_queues_it_again_at_its_place(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b")
        claimed = lab.claim_one()
        lab.take_tokens()
        assert lab.charge(claimed, report='{"kind":"CRASH","attempt":1}') == [1]
        left = lab.dump()
        assert left == {
            "messages": left["messages"],
            "state": {"a": f"- Q 0:default {claimed.entry} 1 1 0 {claimed.first_started_ms} 0 w#1"},
            "history": {"a": '{"kind":"CRASH","attempt":1}\n'},
            "totals": {"CRASH": "1"},
            "ready": {"0:default": 0},
            "claim:w (expires)": "1 ids",
            "streams": {"0:default": 0},
            "q:0:default": Stream(["a", "b"], {"a": "returned"}),
        }
        assert lab.claim("v").ids == ["a", "b"]

    def test_the_second_crash_waits(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.charge(lab.claim_one("w", 1))
        second = lab.claim_one("w", 2)
        lab.take_tokens()
        with lab.listen(lab.keys.control) as listener:
            assert lab.charge(second, delay_ms=10_000, report='{"n":2}') == [2]
            due = lab.now + 10_000
            assert listener.heard() == [f"due {due}"]
        lab.claim("v", 1)  # finds nothing
        left = lab.dump()
        assert left == {
            "messages": left["messages"],
            "state": {"a": f"- D 0:default - 2 2 0 {second.first_started_ms} 0 w#2"},
            "history": {"a": '{"kind":"CRASH"}\n{"n":2}\n'},
            "delayed": {"a": due},
            "waits": {"delayed default": 1},
            "totals": {"CRASH": "2"},
            "claim:w (expires)": "2 ids",
            "streams": {"0:default": 0},
            "q:0:default": Stream([], {}),
        }

    def test_the_third_crash_is_left_to_be_settled_as_dead(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.charge(lab.claim_one("w", 1), report='{"n":1}')
        lab.charge(lab.claim_one("w", 2), report='{"n":2}')
        lab.make_due("a")
        lab.promote("0:default")
        third = lab.claim_one("w", 3)
        assert (third.attempt, third.retries) == (3, 0)
        before = lab.dump()
        assert lab.charge(third) == [3]
        assert lab.dump() == before
        assert lab.charge(third) == [3], "asked again"
        lab.take_tokens()
        assert lab.settle(outcome(third, "DEAD", note="crashed")) == [1]
        left = lab.dump()
        assert lab.totals() == {"CRASH": 2, "DEAD": 1}
        assert lab.record("a").reports == [{"n": 1}, {"n": 2}]
        assert [letter["reason"] for letter in left["dead"]] == ["crashed"]
        assert not {"state", "messages", "history", "leases", "batches", "running", "delayed"} & set(left)

    @pytest.mark.parametrize(("limit", "codes"), [(1, [3]), (2, [1, 3]), (4, [1, 2, 2, 3])])
    def test_the_limit_can_be_set(self, lab: ScriptLab, limit: int, codes: list[int]) -> None:
        lab.enqueue("a")
        got = []
        for seq in range(1, len(codes) + 1):
            got += lab.charge(lab.claim_one("w", seq), limit=limit)
            if got[-1] == 2:
                lab.make_due("a")
                lab.promote("0:default")
        assert got == codes

    def test_crashes_are_no_retries(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.charge(lab.claim_one("w", 1))
        lab.settle(outcome(lab.claim_one("w", 2), "RETRY"))
        third = lab.claim_one("w", 3)
        assert (third.attempt, third.retries) == (3, 1)

    def test_the_first_start_is_kept_or_learnt(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b")
        claimed = lab.claim(count=2).claimed
        assert [lab.charge(one, started=1234) for one in claimed] == [[1], [1]]
        assert [c.first_started_ms for c in lab.claim("v", 1).claimed] == [1234, 1234]


class TestRepeatAndTokens:
    def test_again_is_stale_and_changes_nothing(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.charge(claimed)
        before = lab.dump()
        assert lab.charge(claimed) == [0]
        assert lab.dump() == before

    def test_a_late_settle_of_the_attempt_is_known_to_be_over(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.charge(claimed)
        before = lab.dump()
        assert lab.settle(outcome(claimed))[0] != 1
        assert lab.dump() == before

    def test_what_finished_or_belongs_to_another_is_not_charged(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b", "c")
        a, b, c = lab.claim().claimed
        lab.settle(outcome(a, started=5))
        stolen = b._replace(token="v#1")
        lab.take_tokens()
        assert lab.charge(a, stolen, c) == [0, 0, 1]
        left = lab.dump()
        assert lab.totals() == {"SUCCESS": 1, "CRASH": 1}
        assert set(left["history"]) == {"c"}
        assert set(left["leases"]) == {"w#1"}, "b is still in hand"

    def test_progress_of_the_dead_attempt_is_forgotten(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.progress(claimed, data=b"1")
        lab.charge(claimed)
        assert "progress" not in lab.dump()

    def test_the_first_crash_rings_if_the_stream_had_been_drained(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.take_tokens()
        lab.charge(claimed)
        assert lab.token_in(lab.keys.wake)
        assert lab.token_in(lab.keys.queue_wake("default"))


class TestDamage:
    def test_a_message_whose_entry_was_trimmed_gets_a_new_one(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.client.xtrim(lab.stream(), maxlen=0)
        assert lab.charge(claimed) == [1]
        assert lab.claim("v").ids == ["a"]

    def test_messages_of_a_stream_that_lost_its_group_are_not_lost(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b")
        claimed = lab.claim().claimed
        lab.client.xgroup_destroy(lab.stream(), GROUP)
        assert [lab.charge(one) for one in claimed] == [[1], [1]]
        assert lab.claim("v").ids == ["a", "b"]
