"""promote: what is due becomes claimable, earliest first, never early, and the next due time is told."""

from __future__ import annotations

from tests.support.script_lab import ScriptLab, outcome
from tests.support.server_dump import Stream, accepted_at


def test_a_due_message_becomes_as_if_just_enqueued(lab: ScriptLab) -> None:
    [accepted] = lab.enqueue_one_by_one("a", delay_ms=60_000, body=b"body")
    lab.make_due("a")
    assert lab.promote("0:default") == (1, -1, [])
    assert lab.dump() == {
        "messages": {"a": f"{accepted_at(accepted)} body"},
        "ready": {"0:default": 0},
        "streams": {"0:default": 0},
        "q:0:default": Stream(["a"], {}),
        "wake": ["1"],
        "wake:default": ["1"],
    }
    assert lab.claim_one().id == "a"


def test_again_changes_nothing(lab: ScriptLab) -> None:
    lab.enqueue("a", delay_ms=60_000)
    lab.make_due("a")
    lab.promote("0:default")
    before = lab.dump()
    assert lab.promote("0:default") == (0, -1, [])
    assert lab.dump() == before


def test_nothing_is_promoted_early_and_the_wait_is_told(lab: ScriptLab) -> None:
    lab.enqueue("a", delay_ms=60_000)
    due = lab.now + 60_000
    before = lab.dump()
    assert lab.promote("0:default") == (0, due - lab.now, [])
    assert lab.dump() == before


def test_one_that_is_due_this_millisecond_is_promoted_on_time(lab: ScriptLab) -> None:
    lab.enqueue("a", delay_ms=3)
    due = lab.now + 3
    while lab.promote("0:default")[0] == 0:
        assert lab.now < due
    assert due <= lab.now < due + 1000


def test_an_empty_shard_has_nothing_due(lab: ScriptLab) -> None:
    assert lab.promote() == (0, -1, [])
    assert lab.dump() == {}


def test_the_earliest_go_first(lab: ScriptLab) -> None:
    lab.enqueue("a", "b", "c", delay_ms=60_000)
    lab.make_due("c", "a", "b")
    lab.promote("0:default")
    assert lab.claim().ids == ["c", "a", "b"]


def test_no_more_than_asked_for_and_the_rest_is_due_at_once(lab: ScriptLab) -> None:
    lab.enqueue("a", "b", "c", delay_ms=60_000)
    lab.make_due("a", "b", "c")
    assert lab.promote("0:default", most=2) == (2, 0, [])
    assert lab.promote("0:default", most=2) == (1, -1, [])


def test_streams_the_call_did_not_bring_are_named_and_left_delayed(lab: ScriptLab) -> None:
    lab.enqueue("a", "b", queue="mail", delay_ms=60_000)
    lab.enqueue("c", delay_ms=60_000)
    lab.make_due("a", "b", "c")
    assert lab.promote("0:default") == (1, 0, ["0:mail"])
    left = lab.dump()
    assert set(left["delayed"]) == {"a", "b"}
    assert left["ready"] == {"0:default": 0}
    assert lab.promote("0:mail") == (2, -1, [])


def test_a_retry_keeps_its_past(lab: ScriptLab) -> None:
    lab.enqueue("a")
    first = lab.claim_one("w", 1)
    lab.settle(outcome(first, "RETRY", delay_ms=60_000))
    lab.make_due("a")
    assert lab.promote("0:default")[0] == 1
    assert lab.line("a") == f"- Q 0:default - 1 0 0 {first.first_started_ms} 0 w#1"
    again = lab.claim_one("w", 2)
    assert (again.attempt, again.retries) == (2, 1)


def test_one_that_was_removed_meanwhile_only_leaves_the_list(lab: ScriptLab) -> None:
    lab.enqueue("a", "b", delay_ms=60_000)
    lab.make_due("a", "b")
    lab.client.hdel(lab.keys.messages, "a")
    lab.client.hdel(lab.keys.state, "a")
    assert lab.promote("0:default") == (1, -1, [])
    assert lab.dump()["q:0:default"] == Stream(["b"], {})


def test_one_that_is_not_delayed_any_more_is_not_queued_twice(lab: ScriptLab) -> None:
    lab.enqueue("a")
    lab.claim_one()
    lab.client.zadd(lab.keys.delayed, {"a": 1})
    assert lab.promote("0:default") == (0, -1, [])
    assert lab.dump()["q:0:default"] == Stream(["a"], {"a": "w"})


def test_a_stream_that_is_ready_already_does_not_ring_again(lab: ScriptLab) -> None:
    lab.enqueue("a", delay_ms=60_000)
    lab.enqueue("b")
    lab.take_tokens()
    lab.make_due("a")
    lab.promote("0:default")
    assert not lab.token_in(lab.keys.wake)


def test_priorities_hold_for_promoted_messages(lab: ScriptLab) -> None:
    lab.enqueue("low", delay_ms=60_000, priority=-5)
    lab.enqueue("high", delay_ms=60_000, priority=5)
    lab.make_due("low", "high")
    lab.promote("-5:default", "5:default")
    assert lab.claim().ids == ["high", "low"]
