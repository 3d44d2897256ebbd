"""Settling releases the messages that wait for their parent."""

from __future__ import annotations

import pytest

from streamtasks.stores.types import Claimed
from tests.support.script_lab import ScriptLab, claimed_batch, outcome


class TestBlocked:
    """Whoever waits for a finished message goes on."""

    def blocked(self, lab: ScriptLab) -> Claimed:
        [claimed] = claimed_batch(lab, "a")
        lab.enqueue("b", after="a")
        lab.enqueue("c", after="a", delay_ms=60_000)
        self.later = lab.now + 60_000
        lab.enqueue("d", after="other")
        lab.enqueue("e")
        lab.enqueue("f", after="e")
        lab.take_tokens()
        return claimed

    @pytest.mark.parametrize("state", ["SUCCESS", "IGNORED"])
    def test_after_a_success_as_soon_as_it_is_due(self, lab: ScriptLab, state: str) -> None:
        claimed = self.blocked(lab)
        with lab.listen(lab.keys.control) as listener:
            assert lab.settle(outcome(claimed, state, started=5)) == [1]
            assert listener.heard() == [f"due {lab.now}"]
        left = lab.dump()
        assert left["delayed"] == {"b": lab.now, "c": self.later}
        assert left["links"] == {"e": "f"}
        assert lab.line("b") == "- D 0:default - 0 0 0 0 0 -"
        assert lab.line("c") == "- D 0:default - 0 0 0 0 0 -"
        assert lab.line("f") == "- B 0:default - 0 0 0 0 0 - a=e"
        assert lab.promote("0:default")[0] == 1
        assert lab.line("b") is None

    @pytest.mark.parametrize("state", ["FAILURE", "DEAD", "REVOKED", "EXPIRED"])
    def test_after_a_failure_at_once_and_marked(self, lab: ScriptLab, state: str) -> None:
        claimed = self.blocked(lab)
        lab.settle(outcome(claimed, state, started=5))
        assert lab.dump()["delayed"] == {"b": lab.now, "c": lab.now}
        assert lab.line("b") == lab.line("c") == "- D 0:default - 0 0 0 0 0 - x=parent:a"
        assert lab.promote("0:default")[0] == 2
        assert lab.line("b") == "- Q 0:default - 0 0 0 0 0 - x=parent:a"

    def test_not_after_a_retry(self, lab: ScriptLab) -> None:
        claimed = self.blocked(lab)
        lab.settle(outcome(claimed, "RETRY", started=5, delay_ms=60_000))
        assert lab.dump()["links"] == {"a": "b c", "e": "f"}

    def test_one_that_is_no_more_is_passed_over(self, lab: ScriptLab) -> None:
        claimed = self.blocked(lab)
        lab.client.hdel(lab.keys.state, "b")
        lab.client.hdel(lab.keys.messages, "b")
        lab.settle(outcome(claimed, started=5))
        assert lab.dump()["delayed"] == {"c": self.later}

    @pytest.mark.parametrize(("state", "mark"), [("SUCCESS", ""), ("FAILURE", " x=parent:a")])
    def test_many_go_on_in_steps(self, lab: ScriptLab, state: str, mark: str) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        ids = [f"c{n:03}" for n in range(250)]
        for start in range(0, 250, 50):
            lab.enqueue(*ids[start : start + 50], after="a")
        lab.settle(outcome(claimed, state))
        left = lab.dump()
        sign = f"free a {int(state == 'SUCCESS')}"
        assert left["delayed"] == dict.fromkeys([*ids[:20], sign], lab.now)
        assert left["links"] == {"a": " ".join(ids[20:])}
        seen, due = 0, 0
        for _ in range(10):
            promoted, due, missing = lab.promote("0:default")
            seen += promoted
            assert missing == []
            assert promoted <= 100
            if due:
                break
        assert (seen, due) == (250, -1)
        left = lab.dump()
        assert left["q:0:default"].entries == ids
        assert not {"links", "delayed"} & set(left)
        assert left.get("state", {}) == (dict.fromkeys(ids, f"- Q 0:default - 0 0 0 0 0 -{mark}") if mark else {})


class TestManyChildren:
    """Chunks stand apart, so that no call reads or writes all of them."""

    def test_all_go_on_in_their_order(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        ids = [f"child-{number:04}-{'x' * 30}" for number in range(350)]
        for at in range(0, len(ids), 100):
            assert set(lab.enqueue(*ids[at : at + 100], after="a")) == {1}
        fields = lab.client.hgetall(lab.keys.links)
        assert max(map(len, fields.values())) < 4_100
        assert len(fields) > 3
        lab.settle(outcome(lab.claim_one()))
        freed = int(lab.client.zcard(lab.keys.delayed)) - 1
        assert freed == 20
        for _ in range(8):
            lab.promote("0:default")
        assert lab.client.hgetall(lab.keys.links) == {}
        assert lab.client.zcard(lab.keys.delayed) == 0
        rows = lab.client.xrange(lab.stream())
        assert [fields[b"id"].decode() for _, fields in rows] == ids

    def test_an_end_of_many_parents_lets_a_bounded_number_go(self, lab: ScriptLab) -> None:
        parents = [f"p{number}" for number in range(100)]
        lab.enqueue(*parents)
        for parent in parents:
            lab.enqueue(*(f"{parent}-{number}" for number in range(25)), after=parent)
        claimed = lab.claim("w", 1, count=100).claimed
        lab.settle(*(outcome(one, started=5) for one in claimed))
        waiting = [name for name in lab.dump()["delayed"] if not name.startswith("free ")]
        assert len(waiting) == 100
        for _ in range(80):
            lab.promote("0:default")
        assert lab.client.zcard(lab.keys.delayed) == 0
        assert lab.client.xlen(lab.stream()) == 2500
