"""enqueue: accepted once by id, in order, ready or delayed, and heard by those who wait."""

from __future__ import annotations

from typing import Any

import pytest

from streamtasks.stores.redis.operations.enqueue import enqueue_call
from streamtasks.stores.types import NewMessage
from tests.support.script_lab import ScriptLab, outcome
from tests.support.server_dump import Stream, accepted_at


def one_queued(body: str) -> dict[str, Any]:
    return {
        "messages": {"a": body},
        "ready": {"0:default": 0},
        "streams": {"0:default": 0},
        "q:0:default": Stream(["a"], {}),
        "wake": ["1"],
        "wake:default": ["1"],
    }


def test_a_message_is_stored_once_made_ready_and_rung_for(lab: ScriptLab) -> None:
    assert lab.enqueue("a", body=b"body") == [1]
    assert lab.dump() == one_queued(f"{accepted_at(lab.now)} body")


def test_the_same_id_again_changes_nothing(lab: ScriptLab) -> None:
    lab.enqueue("a", body=b"body")
    before = lab.dump()
    assert lab.enqueue("a", body=b"another body", queue="other", priority=9) == [0]
    assert lab.enqueue("a", delay_ms=5000) == [0]
    assert lab.dump() == before


def test_the_same_id_twice_in_one_call_is_accepted_once(lab: ScriptLab) -> None:
    assert lab.enqueue("a", "a", body=b"body") == [1, 0]
    assert lab.dump() == one_queued(f"{accepted_at(lab.now)} body")


def test_a_known_id_among_new_ones_does_not_keep_them_out(lab: ScriptLab) -> None:
    lab.enqueue("b")
    assert lab.enqueue("a", "b", "c") == [1, 0, 1]
    assert lab.dump()["q:0:default"] == Stream(["b", "a", "c"], {})


def test_a_claimed_id_is_still_known(lab: ScriptLab) -> None:
    lab.enqueue("a")
    lab.claim()
    before = lab.dump()
    assert lab.enqueue("a") == [0]
    assert lab.dump() == before


def test_a_finished_id_is_known_until_its_record_expires(lab: ScriptLab) -> None:
    lab.enqueue("a")
    lab.settle(outcome(lab.claim_one()))
    before = lab.dump()
    assert lab.enqueue("a") == [0]
    assert lab.dump() == before
    lab.client.delete(lab.keys.record("a"))
    assert lab.enqueue("a") == [1]


def test_messages_of_several_streams_go_in_one_call(lab: ScriptLab) -> None:
    messages = [
        NewMessage("a", "mail", 5, b"A"),
        NewMessage("b", "web:hooks", -100, b"B"),
        NewMessage("c", "mail", 5, b"C"),
        NewMessage("d", "mail", 0, b"D", delay_ms=60_000),
    ]
    assert lab.run(enqueue_call(lab.keys, messages, lab.settings))[1:] == [1, 1, 1, 1]
    now = lab.now
    assert lab.dump() == {
        "messages": {
            "a": f"{accepted_at(now)} A",
            "b": f"{accepted_at(now)} B",
            "c": f"{accepted_at(now)} C",
            "d": f"{accepted_at(now)} D",
        },
        "state": {"d": "- D 0:mail - 0 0 0 0 0 -"},
        "delayed": {"d": now + 60_000},
        "waits": {"delayed mail": 1},
        "ready": {"5:mail": 5, "-100:web:hooks": -100},
        "streams": {"5:mail": 0, "-100:web:hooks": 0},
        "q:5:mail": Stream(["a", "c"], {}),
        "q:-100:web:hooks": Stream(["b"], {}),
        "wake": ["1"],
        "wake:mail": ["1"],
        "wake:web:hooks": ["1"],
    }


def test_any_bytes_may_be_a_body(lab: ScriptLab) -> None:
    body = bytes(range(256))
    assert lab.enqueue("a", body=body) == [1]
    assert lab.client.hget(lab.keys.messages, "a") == f"{accepted_at(lab.now)} ".encode() + body


class TestDelayed:
    def test_a_delay_counts_from_now_by_the_server(self, lab: ScriptLab) -> None:
        assert lab.enqueue("a", delay_ms=60_000) == [1]
        assert lab.dump() == {
            "messages": {"a": f"{accepted_at(lab.now)} {{}}"},
            "state": {"a": "- D 0:default - 0 0 0 0 0 -"},
            "delayed": {"a": lab.now + 60_000},
            "waits": {"delayed default": 1},
        }

    def test_a_due_time_is_kept_to_the_millisecond(self, lab: ScriptLab) -> None:
        due = lab.server_ms() + 86_400_001
        assert lab.enqueue("a", due_ms=due) == [1]
        assert lab.dump()["delayed"] == {"a": due}

    @pytest.mark.parametrize("options", [{"due_ms": 1}, {"due_ms": 0}, {"delay_ms": 0}])
    def test_what_is_due_already_is_ready_at_once(self, lab: ScriptLab, options: dict[str, Any]) -> None:
        assert lab.enqueue("a", body=b"body", **options) == [1]
        assert lab.dump() == one_queued(f"{accepted_at(lab.now)} body")

    def test_a_delayed_id_is_known(self, lab: ScriptLab) -> None:
        lab.enqueue("a", delay_ms=60_000)
        before = lab.dump()
        assert lab.enqueue("a") == [0]
        assert lab.enqueue("a", delay_ms=1) == [0]
        assert lab.dump() == before

    def test_only_an_earlier_one_than_all_others_is_told(self, lab: ScriptLab) -> None:
        with lab.listen(lab.keys.control) as listener:
            lab.enqueue("b", delay_ms=60_000)
            assert listener.heard() == [f"due {lab.now + 60_000}"]
            lab.enqueue("c", delay_ms=90_000)
            assert listener.heard() == []
            lab.enqueue("a", delay_ms=30_000)
            assert listener.heard() == [f"due {lab.now + 30_000}"]
            lab.enqueue("a", delay_ms=10_000)
            lab.enqueue("d")
            assert listener.heard() == []


class TestWaking:
    def test_a_stream_that_is_ready_already_does_not_ring_again(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.take_tokens()
        lab.enqueue("b")
        assert not lab.token_in(lab.keys.wake)
        assert not lab.token_in(lab.keys.queue_wake("default"))

    def test_another_stream_rings_for_its_own_queue(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.take_tokens()
        lab.enqueue("b", queue="mail")
        assert lab.token_in(lab.keys.wake)
        assert lab.token_in(lab.keys.queue_wake("mail"))
        assert not lab.token_in(lab.keys.queue_wake("default"))

    def test_another_priority_of_the_same_queue_rings(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.take_tokens()
        lab.enqueue("b", priority=1)
        assert lab.token_in(lab.keys.wake)
        assert lab.token_in(lab.keys.queue_wake("default"))

    def test_a_token_that_nobody_took_stays_the_only_one(self, lab: ScriptLab) -> None:
        for place in range(5):
            lab.enqueue(f"m{place}", queue=f"q{place}")
        assert lab.token_in(lab.keys.wake)

    def test_a_delayed_or_known_message_does_not_ring(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.claim()
        lab.take_tokens()
        lab.enqueue("b", delay_ms=60_000)
        lab.enqueue("a")
        assert not lab.token_in(lab.keys.wake)


def test_a_hundred_messages_keep_their_order(lab: ScriptLab) -> None:
    ids = [f"{place:03}" for place in range(100)]
    assert lab.enqueue(*ids) == [1] * 100
    assert lab.dump()["q:0:default"] == Stream(ids, {})


def test_a_stream_keeps_its_group_when_it_was_drained(lab: ScriptLab) -> None:
    lab.enqueue("a")
    lab.settle(outcome(lab.claim_one()))
    lab.enqueue("b")
    assert lab.claim("v").ids == ["b"]


class TestAfter:
    """A message that waits for another one."""

    def test_it_is_blocked_until_that_one_is_finished(self, lab: ScriptLab) -> None:
        lab.enqueue("a", body=b"A")
        accepted = lab.now
        assert lab.enqueue("b", "c", after="a") == [1, 1]
        assert lab.dump() == one_queued(f"{accepted_at(accepted)} A") | {
            "messages": {
                "a": f"{accepted_at(accepted)} A",
                "b": f"{accepted_at(lab.now)} {{}}",
                "c": f"{accepted_at(lab.now)} {{}}",
            },
            "state": {"b": "- B 0:default - 0 0 0 0 0 - a=a", "c": "- B 0:default - 0 0 0 0 0 - a=a"},
            "links": {"a": "b c"},
        }
        before = lab.dump()
        assert lab.enqueue("b", "c", after="a") == [0, 0]
        assert lab.dump() == before

    def test_its_own_due_time_is_kept(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.enqueue("b", after="a", delay_ms=60_000)
        assert lab.line("b") == f"- B 0:default - 0 0 0 0 0 - a=a d={lab.now + 60_000}"
        assert "delayed" not in lab.dump()

    @pytest.mark.parametrize("state", ["SUCCESS", "IGNORED"])
    def test_it_goes_on_at_once_if_that_one_has_succeeded(self, lab: ScriptLab, state: str) -> None:
        lab.enqueue("a")
        lab.settle(outcome(lab.claim_one(), state))
        lab.take_tokens()
        assert lab.enqueue("b", after="a") == [1]
        found = lab.dump()
        assert found["q:0:default"] == Stream(["b"], {})
        assert found["wake"] == ["1"]
        assert not {"state", "links", "delayed"} & set(found)

    def test_its_due_time_counts_after_a_success(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.settle(outcome(lab.claim_one()))
        assert lab.enqueue("b", after="a", delay_ms=60_000) == [1]
        assert lab.dump()["delayed"] == {"b": lab.now + 60_000}

    @pytest.mark.parametrize("state", ["FAILURE", "DEAD", "EXPIRED", "REVOKED"])
    def test_it_goes_on_marked_if_that_one_has_failed(self, lab: ScriptLab, state: str) -> None:
        lab.enqueue("a")
        lab.settle(outcome(lab.claim_one(), state))
        assert lab.enqueue("b", after="a", delay_ms=60_000) == [1]
        found = lab.dump()
        assert found["state"] == {"b": "- Q 0:default - 0 0 0 0 0 - x=parent:a"}
        assert found["q:0:default"] == Stream(["b"], {})
        assert not {"links", "delayed"} & set(found)

    @pytest.mark.parametrize("parent", ["unknown", "b"])
    def test_it_goes_on_marked_if_that_one_is_unknown_or_itself(self, lab: ScriptLab, parent: str) -> None:
        assert lab.enqueue("b", after=parent) == [1]
        assert lab.line("b") == f"- Q 0:default - 0 0 0 0 0 - x=parent:{parent}"

    def test_each_of_a_call_has_its_own(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.settle(outcome(lab.claim_one()))
        messages = [
            NewMessage("b", "mail", 0, b"B", after="unknown"),
            NewMessage("c", "mail", 0, b"C"),
            NewMessage("d", "mail", 0, b"D", after="a"),
        ]
        assert lab.run(enqueue_call(lab.keys, messages, lab.settings))[1:] == [1, 1, 1]
        assert lab.dump()["state"] == {"b": "- Q 0:mail - 0 0 0 0 0 - x=parent:unknown"}
        assert lab.dump()["q:0:mail"] == Stream(["b", "c", "d"], {})
