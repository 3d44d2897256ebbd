"""settle: what an outcome brings about: retries, follow-ups, callback messages, those that waited, events."""

from __future__ import annotations

import hashlib

import pytest

from streamtasks import StoreSettings
from streamtasks.protocol.message import Message, split_body
from streamtasks.stores.redis.batches import MOST_BYTES
from streamtasks.stores.redis.operations.settle import settle_chunks
from streamtasks.stores.types import Claimed, NewMessage
from tests.support.script_lab import RESULT, ScriptLab, claimed_batch, outcome
from tests.support.server_dump import Stream, accepted_at
from tests.support.shard_view import REVOKED_MS, Record


class TestRetry:
    def test_at_once_appends_a_new_entry_and_keeps_the_report(self, lab: ScriptLab) -> None:
        [accepted] = lab.enqueue_one_by_one("a", body=b"body")
        claimed = lab.claim_one()
        lab.take_tokens()
        assert lab.settle(outcome(claimed, "RETRY", note='{"kind":"RETRY","attempt":1}')) == [1]
        assert lab.entry("a") != claimed.entry
        assert lab.dump() == {
            "messages": {"a": f"{accepted_at(accepted)} body"},
            "state": {"a": f"- Q 0:default - 1 0 0 {claimed.first_started_ms} 0 w#1"},
            "history": {"a": '{"kind":"RETRY","attempt":1}\n'},
            "totals": {"RETRY": "1"},
            "ready": {"0:default": 0},
            "claim:w (expires)": "1 ids",
            "streams": {"0:default": 0},
            "q:0:default": Stream(["a"], {}),
            "wake": ["1"],
            "wake:default": ["1"],
        }

    def test_later_parks_it_and_tells_supervisors(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.take_tokens()
        with lab.listen(lab.keys.control) as listener:
            assert lab.settle(outcome(claimed, "RETRY", delay_ms=60_000)) == [1]
            assert listener.heard() == [f"due {lab.now + 60_000}"]
        left = lab.dump()
        assert left == {
            "messages": left["messages"],
            "state": {"a": f"- D 0:default - 1 0 0 {claimed.first_started_ms} 0 w#1"},
            "history": {"a": '{"kind":"RETRY"}\n'},
            "delayed": {"a": lab.now + 60_000},
            "waits": {"delayed default": 1},
            "totals": {"RETRY": "1"},
            "claim:w (expires)": "1 ids",
            "streams": {"0:default": 0},
            "q:0:default": Stream([], {}),
        }

    @pytest.mark.parametrize("delay_ms", [0, 60_000])
    def test_again_is_answered_already_done(self, lab: ScriptLab, delay_ms: int) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.settle(outcome(claimed, "RETRY", delay_ms=delay_ms))
        before = lab.dump()
        assert lab.settle(outcome(claimed, "RETRY", delay_ms=delay_ms)) == [2]
        assert lab.dump() == before

    def test_again_is_known_even_while_the_next_attempt_runs(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one("w", 1)
        lab.settle(outcome(claimed, "RETRY"))
        lab.claim_one("v", 1)
        before = lab.dump()
        assert lab.settle(outcome(claimed, "RETRY")) == [2]
        assert lab.dump() == before

    def test_the_last_attempt_records_all_reports(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        first = lab.claim_one("w", 1)
        lab.settle(outcome(first, "RETRY", note='{"attempt":1}'))
        second = lab.claim_one("w", 2)
        assert (second.attempt, second.retries, second.first_started_ms) == (2, 1, first.first_started_ms)
        lab.settle(outcome(second, "RETRY", note='{"attempt":2}', started=77))
        third = lab.claim_one("w", 3)
        assert lab.settle(outcome(third, started=88)) == [1]
        record = lab.record("a")
        assert record.times == (lab.now, first.first_started_ms, 88)
        assert record.attempt == 3
        assert record.reports == [{"attempt": 1}, {"attempt": 2}]
        left = lab.dump()
        assert lab.totals() == {"RETRY": 2, "SUCCESS": 1}
        assert not {"history", "state", "messages", "leases", "batches"} & set(left)

    def test_a_retry_queues_behind_what_came_meanwhile(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b")
        lab.settle(outcome(lab.claim_one("w", 1), "RETRY"))
        assert lab.claim("w", 2).ids == ["b", "a"]


class TestFollowUps:
    """Messages that are accepted in the step that settles."""

    def test_they_are_accepted_with_the_outcome(self, lab: ScriptLab) -> None:
        [claimed] = claimed_batch(lab, "a")
        follow = (
            NewMessage("b", "mail", 5, b"B"),
            NewMessage("c", "default", 0, b"C", delay_ms=60_000),
            NewMessage("d", "default", 0, b"D", after="c"),
        )
        assert lab.settle(outcome(claimed, started=5, follow=follow)) == [1]
        left = lab.dump()
        now = lab.now
        assert left["messages"] == {
            "b": f"{accepted_at(now)} B",
            "c": f"{accepted_at(now)} C",
            "d": f"{accepted_at(now)} D",
        }
        assert left["q:5:mail"] == Stream(["b"], {})
        assert left["delayed"] == {"c": now + 60_000}
        assert left["state"] == {"c": "- D 0:default - 0 0 0 0 0 -", "d": "- B 0:default - 0 0 0 0 0 - a=c"}
        assert left["links"] == {"c": "d"}
        assert left["wake:mail"] == ["1"]
        assert lab.settle(outcome(claimed, started=5, follow=follow)) == [2]
        assert lab.dump() == left

    def test_only_those_of_outcomes_that_count(self, lab: ScriptLab) -> None:
        a, b = claimed_batch(lab, "a", "b")
        stranger = outcome(b._replace(token="x#1"), started=5, follow=(NewMessage("c", "default", 0, b"C"),))
        mine = outcome(a, "RETRY", started=5, delay_ms=60_000, follow=(NewMessage("d", "default", 0, b"D"),))
        assert lab.settle(stranger, mine) == [0, 1]
        assert set(lab.dump()["messages"]) == {"a", "b", "d"}

    def test_one_that_is_known_is_not_accepted_again(self, lab: ScriptLab) -> None:
        a, _ = claimed_batch(lab, "a", "b")
        follow = (NewMessage("b", "default", 0, b"other"), NewMessage("c", "default", 0, b"C"))
        lab.settle(outcome(a, started=5, follow=follow))
        assert lab.client.hget(lab.keys.messages, "b").endswith(b"{}")
        assert lab.dump()["q:0:default"] == Stream(["b", "c"], {"b": "w"})

    def test_calls_are_cut_with_their_follow_ups(self) -> None:
        claimed = Claimed("a", "w#1", "0:default", "1-1", 1, 0, 5, b"")
        plain, many = outcome(claimed), outcome(claimed, follow=(NewMessage("b", "default", 0, b""),) * 60)
        assert settle_chunks([]) == []
        assert [len(chunk) for chunk in settle_chunks([plain] * 250)] == [100, 100, 50]
        assert [len(chunk) for chunk in settle_chunks([many, plain, many, many])] == [2, 1, 1]

    def test_calls_are_cut_by_bytes(self) -> None:
        claimed = Claimed("a", "w#1", "0:default", "1-1", 1, 0, 5, b"")
        body, result = outcome(claimed), outcome(claimed)
        body, result = body._replace(body=b"x" * 200_000), result._replace(result=b"x" * 200_000)
        heavy = outcome(claimed, follow=(NewMessage("b", "default", 0, b"x" * MOST_BYTES),))
        assert [len(chunk) for chunk in settle_chunks([body, result] * 3)] == [3, 3]
        assert [len(chunk) for chunk in settle_chunks([body, heavy, result])] == [2, 1]


class TestRevokedWhileHeld:
    """Whatever the holder says, the message is REVOKED."""

    def revoked(self, lab: ScriptLab, claimed: Claimed) -> None:
        line = lab.line(claimed.id)
        assert line is not None
        token, _, rest = line.split(" ", 2)
        lab.client.hset(lab.keys.state, claimed.id, f"{token} X {rest} x=revoked")

    @pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "IGNORED", "EXPIRED", "DEAD", "RETRY"])
    def test_every_outcome_is_overridden(self, lab: ScriptLab, state: str) -> None:
        [accepted] = lab.enqueue_one_by_one("a", body=b"body")
        claimed = lab.claim_one()
        self.revoked(lab, claimed)
        lab.take_tokens()
        follow = (NewMessage("b", "default", 0, b"B"),)
        done = outcome(claimed, state, follow=follow)
        assert lab.settle(done) == [1]
        now, started = lab.now, claimed.first_started_ms
        reports = [{"kind": "RETRY"}] if state == "RETRY" else []
        expected = Record(
            "REVOKED", "w#1", (now, started, started), 1, f"{accepted_at(accepted)} body".encode(), b"", reports
        )
        assert lab.record("a") == expected
        assert REVOKED_MS - 5_000 < lab.client.pttl(lab.keys.record("a")) <= REVOKED_MS
        left = lab.dump()
        assert not {"messages", "state", "history", "running", "leases", "batches", "dead", "wake"} & set(left)
        assert left[f"finished:{now // 3_600_000}:3 (expires)"] == [{"REVOKED 0:default": "a"}]
        assert lab.totals() == {"REVOKED": 1}
        assert left["q:0:default"] == Stream([], {})
        assert lab.settle(done) == [2]
        assert lab.dump() == left

    def test_its_holder_may_say_so_itself(self, lab: ScriptLab) -> None:
        [claimed] = claimed_batch(lab, "a")
        self.revoked(lab, claimed)
        follow = (NewMessage("b", "default", 0, b"B"),)
        assert lab.settle(outcome(claimed, "REVOKED", started=0, follow=follow), callbacks="revoked") == [1]
        assert lab.record("a").result == RESULT
        assert set(lab.dump()["messages"]) == {"b"}


class TestCallbacks:
    """Messages that have a child do what belongs to an outcome that none has seen."""

    ID = "cb." + hashlib.sha1(b"a").hexdigest()

    def body(self, lab: ScriptLab) -> bytes:
        call = f'{{"v":1,"id":"{self.ID}","t":"streamtasks.callback","a":["a"],"k":{{}},"q":"default","p":0}}'
        return f"{lab.now} {call}".encode()

    @pytest.mark.parametrize("callbacks", ["revoked", "all"])
    def test_one_for_what_was_revoked_while_held(self, lab: ScriptLab, callbacks: str) -> None:
        [claimed] = claimed_batch(lab, "a")
        TestRevokedWhileHeld().revoked(lab, claimed)
        assert lab.settle(outcome(claimed, started=5), callbacks=callbacks) == [1]
        assert lab.client.hgetall(lab.keys.messages) == {self.ID.encode(): self.body(lab)}
        left = lab.dump()
        assert left["q:0:default"] == Stream([self.ID], {})
        assert left["wake"] == left["wake:default"] == ["1"]
        assert Message.decode(split_body(self.body(lab))[1]).args == ["a"]

    @pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "REVOKED", "DEAD", "EXPIRED", "IGNORED"])
    def test_one_for_every_final_outcome_if_asked(self, lab: ScriptLab, state: str) -> None:
        [claimed] = claimed_batch(lab, "a")
        done = outcome(claimed, state, started=5)
        assert lab.settle(done, callbacks="all") == [1]
        assert set(lab.dump()["messages"]) == {self.ID}
        before = lab.dump()
        assert lab.settle(done, callbacks="all") == [2]
        assert lab.dump() == before

    def test_one_for_each_retry_if_asked(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        for number in (1, 2):
            [claimed] = [one for one in lab.claim("w", number).claimed if one.id == "a"]
            assert lab.settle(outcome(claimed, "RETRY", started=5), callbacks="all") == [1]
            before = lab.dump()
            assert lab.settle(outcome(claimed, "RETRY", started=5), callbacks="all") == [2]
            assert lab.dump() == before
        bodies = {id_: body for id_, body in lab.client.hgetall(lab.keys.messages).items() if id_ != b"a"}
        found = [Message.decode(split_body(body)[1]) for body in bodies.values()]
        assert sorted(message.args for message in found) == [["a", 1], ["a", 2]]
        assert {message.id.encode() for message in found} == set(bodies)

    def test_none_unasked(self, lab: ScriptLab) -> None:
        a, b = claimed_batch(lab, "a", "b")
        lab.settle(outcome(a, "RETRY", started=5, delay_ms=60_000), callbacks="revoked")
        lab.settle(outcome(b, "DEAD", started=5), callbacks="revoked")
        assert set(lab.dump()["messages"]) == {"a"}

    @pytest.mark.parametrize("state", ["CALLED", "DEAD", "FAILURE"])
    def test_it_leaves_no_trace(self, lab: ScriptLab, state: str) -> None:
        lab.enqueue(self.ID)
        claimed = lab.claim_one()
        lab.take_tokens()
        assert lab.settle(outcome(claimed, state), callbacks="all") == [1]
        left = lab.dump()
        dead = {"dead", "dead_bytes", "dead_sizes"} if state == "DEAD" else set()
        assert set(left) == {"claim:w (expires)", "streams", "q:0:default"} | dead
        assert left["q:0:default"] == Stream([], {})

    def test_settled_again_it_is_done_already(self, lab: ScriptLab) -> None:
        lab.enqueue(self.ID)
        claimed = lab.claim_one()
        assert lab.settle(outcome(claimed, "CALLED")) == [1]
        assert lab.settle(outcome(claimed, "CALLED")) == [2]


class TestEvents:
    def test_one_entry_a_call_tells_every_outcome(self, lab: ScriptLab) -> None:
        lab.settings = StoreSettings(send_events=True)
        lab.enqueue("a", "b")
        a, b = lab.claim().claimed
        lab.settle(outcome(a), outcome(b, "RETRY", delay_ms=60_000))
        lab.settle(outcome(a))
        assert lab.dump()["events"] == [
            {"kind": "accepted", "a": "0:default", "b": "0:default"},
            {"kind": "settled", "b": "RETRY", "a": "SUCCESS"},
        ]
