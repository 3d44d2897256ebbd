"""settle: one recorded outcome per message, everything else of it gone, all in one step."""

from __future__ import annotations

import pytest

from streamtasks import StoreSettings
from streamtasks.stores.redis.operations.settle import settle_call
from tests.support.script_lab import RESULT, ScriptLab, claimed_batch, outcome
from tests.support.server_dump import Stream, accepted_at, text
from tests.support.shard_view import Record


def counted(now: int, **counts: int) -> dict[str, str]:
    """The counters of one minute, as `counts:<hour>` holds them; a queue's name is `default`."""
    minute = now // 60_000 % 60
    return {f"{minute} default {what}": str(n) for what, n in counts.items()}


class TestSuccess:
    def test_leaves_the_record_the_counters_and_nothing_else(self, lab: ScriptLab) -> None:
        [accepted] = lab.enqueue_one_by_one("a", body=b"body")
        claimed = lab.claim_one()
        lab.take_tokens()
        with lab.listen(lab.keys.done_channel("a")) as listener:
            assert lab.settle(outcome(claimed)) == [1]
            assert listener.heard() == ["a"]
        now, started = lab.now, claimed.first_started_ms
        record = Record(
            "SUCCESS", "w#1", (now, started, started), 1, f"{accepted_at(accepted)} body".encode(), RESULT, []
        )
        assert lab.record("a") == record
        spent = {"ms": now - started} if now > started else {}
        left = lab.dump()
        assert left == {
            "r:a (expires)": left["r:a (expires)"],
            f"finished:{now // 3_600_000}:3 (expires)": [{"SUCCESS 0:default": "a"}],
            f"counts:{now // 3_600_000} (expires)": counted(now, SUCCESS=1, **spent),
            "totals": {"SUCCESS": "1"} | {name: str(ms) for name, ms in spent.items()},
            "claim:w (expires)": "1 ids",
            "streams": {"0:default": 0},
            "q:0:default": Stream([], {}),
        }

    def test_again_is_answered_already_done_and_changes_nothing(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.settle(outcome(claimed))
        before = lab.dump()
        assert lab.settle(outcome(claimed)) == [2]
        assert lab.settle(outcome(claimed, "FAILURE", result=b"other")) == [2]
        assert lab.settle(outcome(claimed, "RETRY", delay_ms=5)) == [2]
        assert lab.dump() == before

    def test_the_record_expires_when_it_should(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.settle(outcome(lab.claim_one(), keep_ms=1_000_000))
        assert 990_000 < lab.client.pttl(lab.keys.record("a")) <= 1_000_000

    def test_the_counts_are_kept_as_long_as_any_writer_says(self, lab: ScriptLab) -> None:
        for days in (30, 3):
            lab.enqueue(f"{days}")
            lab.settings = StoreSettings(failure_expires_s=days * 86_400.0)
            lab.settle(outcome(lab.claim_one(f"w{days}")))
            assert lab.settings.index_keep_ms == (days + 1) * 86_400_000
        hour = lab.now // 3_600_000
        assert lab.client.pexpiretime(lab.keys.counts(hour)) == (hour + 1) * 3_600_000 + 31 * 86_400_000

    def test_result_bytes_are_kept_as_they_are(self, lab: ScriptLab) -> None:
        lab.enqueue("a", body=b"\x00\n\xff" * 5)
        body = lab.client.hget(lab.keys.messages, "a")
        result = bytes(range(256)) + b"\n1 2 3\n"
        lab.settle(outcome(lab.claim_one(), result=result, body=body))
        assert lab.record("a").body == body
        assert lab.record("a").result == result

    def test_progress_is_forgotten(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.progress(claimed, data=b'{"n":1}')
        lab.settle(outcome(claimed))
        assert "progress" not in lab.dump()


class TestFinalStates:
    @pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "IGNORED", "EXPIRED", "REVOKED", "DEAD"])
    def test_every_final_state_takes_the_message_out(self, lab: ScriptLab, state: str) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.take_tokens()
        assert lab.settle(outcome(claimed, state, note="why", started=0)) == [1]
        left = lab.dump()
        hour = lab.now // 3_600_000
        index = {f"finished:{hour}:3 (expires)", f"counts:{hour} (expires)"}
        expected = {"r:a (expires)", "totals", "claim:w (expires)", "streams"} | index
        assert set(left) == expected | {"q:0:default"} | (
            {"dead", "dead_bytes", "dead_sizes"} if state == "DEAD" else set()
        )
        assert lab.record("a")[:2] == (state, "w#1")
        assert left[f"finished:{hour}:3 (expires)"] == [{f"{state} 0:default": "a"}]
        assert left[f"counts:{hour} (expires)"] == counted(lab.now, **{state: 1})
        assert lab.totals() == {state: 1}
        assert left["q:0:default"] == Stream([], {})

    def test_a_dead_letter_keeps_reason_and_body(self, lab: ScriptLab) -> None:
        [accepted] = lab.enqueue_one_by_one("a", body=b"body")
        lab.settle(outcome(lab.claim_one(), "DEAD", note="unknown task"))
        assert lab.dump()["dead"] == [
            {"reason": "unknown task", "id": "a", "stream": "0:default", "message": f"{accepted_at(accepted)} body"}
        ]

    def test_dead_letters_are_capped(self, lab: ScriptLab) -> None:
        for batch in range(4):
            lab.enqueue(*(f"{batch}-{n}" for n in range(100)))
            claimed = lab.claim("w", batch + 1, count=100).claimed
            outcomes = [outcome(c, "DEAD", started=5) for c in claimed]
            lab.run(settle_call(lab.keys, outcomes, lab.hour(), StoreSettings(max_dead_letters=10)))
        assert [letter["id"] for letter in lab.dump()["dead"]] == [f"3-{n}" for n in range(90, 100)]

    def test_run_times_add_up_per_queue(self, lab: ScriptLab) -> None:
        claimed = claimed_batch(lab, "a", "b")
        now = lab.server_ms()
        lab.settle(outcome(claimed[0], started=now - 1000), outcome(claimed[1], started=now - 500))
        counts = lab.client.hgetall(lab.keys.counts(lab.now // 3_600_000))
        assert int(counts[f"{lab.now // 60_000 % 60} default ms".encode()]) == 2 * lab.now - 2 * now + 1500

    def test_two_priorities_of_a_queue_count_as_one_queue(self, lab: ScriptLab) -> None:
        lab.enqueue("a", queue="a:b")
        lab.enqueue("b", queue="a:b", priority=-7)
        lab.settle(*(outcome(c, started=0) for c in lab.claim().claimed))
        counts = lab.client.hgetall(lab.keys.counts(lab.now // 3_600_000))
        assert counts == {f"{lab.now // 60_000 % 60} a:b SUCCESS".encode(): b"2"}


class TestLeftToAnotherWorker:
    """A RETRY without a report: the attempt has not begun, and is not counted."""

    def test_it_comes_again_as_if_it_had_never_been_claimed(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        first = lab.claim_one("w", 1)
        assert lab.settle(outcome(first, "RETRY", note="", delay_ms=500)) == [1]
        left = lab.dump()
        assert left["delayed"] == {"a": lab.now + 500}
        assert left["state"] == {"a": f"- D 0:default - 0 0 0 0 0 {first.token}"}
        assert not {"history", "totals", "running", "leases", "batches"} & set(left)
        assert lab.settle(outcome(first, "RETRY", note="", delay_ms=500)) == [2], "sent again"
        lab.client.zadd(lab.keys.delayed, {"a": 1})
        lab.promote("0:default")
        again = lab.claim_one("w", 2)
        assert (again.attempt, again.retries) == (1, 0)

    def test_what_has_run_before_keeps_that(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        first = lab.claim_one("w", 1)
        lab.settle(outcome(first, "RETRY"))
        second = lab.claim_one("w", 2)
        history = lab.history("a")
        assert lab.settle(outcome(second, "RETRY", note="")) == [1]
        third = lab.claim_one("w", 3)
        assert (third.attempt, third.retries) == (second.attempt, second.retries) == (2, 1)
        assert third.first_started_ms == first.first_started_ms
        assert lab.history("a") == history
        assert lab.totals() == {"RETRY": 1}


class TestBatches:
    def test_outcomes_of_all_kinds_go_in_one_call(self, lab: ScriptLab) -> None:
        a, b, c, d = claimed_batch(lab, "a", "b", "c", "d")
        codes = lab.settle(
            outcome(a, started=5),
            outcome(b, "FAILURE", started=5),
            outcome(c, "RETRY", started=5, delay_ms=60_000),
            outcome(d, "DEAD", started=5, note="why"),
        )
        assert codes == [1, 1, 1, 1]
        left = lab.dump()
        assert lab.totals() == {"SUCCESS": 1, "FAILURE": 1, "RETRY": 1, "DEAD": 1}
        assert left[f"finished:{lab.now // 3_600_000}:3 (expires)"] == [
            {"SUCCESS 0:default": "a", "FAILURE 0:default": "b", "DEAD 0:default": "d"}
        ]
        assert left["q:0:default"] == Stream([], {})
        assert set(left["messages"]) == set(left["state"]) == set(left["delayed"]) == {"c"}
        assert not {"leases", "batches", "running"} & set(left)

    def test_one_stale_member_does_not_spoil_the_others(self, lab: ScriptLab) -> None:
        a, b, c = claimed_batch(lab, "a", "b", "c")
        lab.hand_back(b)
        held_back = lab.line("b")
        assert lab.settle(outcome(a, started=5), outcome(b, started=5), outcome(c, "RETRY", started=5)) == [1, 0, 1]
        left = lab.dump()
        assert {key for key in left if key.startswith("r:")} == {"r:a (expires)"}
        assert lab.line("b") == held_back
        assert left["q:0:default"] == Stream(["b", "c"], {"b": "returned"})

    def test_a_member_that_names_no_stream_of_the_call_is_stale(self, lab: ScriptLab) -> None:
        a, b = claimed_batch(lab, "a", "b")
        outcomes = [outcome(a, "FAILURE", started=5), outcome(b, started=5)]
        call = settle_call(lab.keys, outcomes, lab.hour(), lab.settings)
        call.args[call.args.index("w#1") + 1] = 9
        assert lab.run(call)[1:] == [0, 1]
        assert lab.line("a") is not None

    def test_a_member_given_twice_counts_once(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        done = outcome(lab.claim_one())
        first, second = lab.run(settle_call(lab.keys, [done, done], lab.hour(), lab.settings))[1:]
        assert first == 1
        assert second != 1
        left = lab.dump()
        assert lab.totals() == {"SUCCESS": 1}
        assert left[f"finished:{lab.now // 3_600_000}:3 (expires)"] == [{"SUCCESS 0:default": "a"}]

    def test_a_batch_repeated_after_a_lost_reply_is_already_done_throughout(self, lab: ScriptLab) -> None:
        claimed = claimed_batch(lab, *(f"{n:02}" for n in range(100)))
        outcomes = [outcome(c, "RETRY" if n % 3 == 0 else "SUCCESS", started=5) for n, c in enumerate(claimed)]
        assert lab.settle(*outcomes) == [1] * 100
        before = lab.dump()
        assert lab.settle(*outcomes) == [2] * 100
        assert lab.dump() == before

    def test_members_of_several_streams(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.enqueue("b", queue="mail", priority=3)
        claimed = lab.claim().claimed
        lab.take_tokens()
        assert lab.settle(*(outcome(c, started=5) for c in claimed)) == [1, 1]
        left = lab.dump()
        assert left["q:0:default"] == left["q:3:mail"] == Stream([], {})
        assert left[f"finished:{lab.now // 3_600_000}:3 (expires)"] == [
            {"SUCCESS 3:mail": "b", "SUCCESS 0:default": "a"}
        ]

    def test_finished_ids_are_told_on_the_channels_of_their_buckets(self, lab: ScriptLab) -> None:
        long = "0" * 31 + "a-u0"
        a, b, c = claimed_batch(lab, "a", "q", long)
        assert lab.keys.done_channel("a") == lab.keys.done_channel("q") == lab.keys.done_channel(long)
        with lab.listen(lab.keys.done_channel("a")) as listener, lab.listen(lab.keys.done_channel("b")) as other:
            lab.settle(outcome(a, started=5), outcome(b, "RETRY", started=5), outcome(c, started=5))
            assert listener.heard() == [f"a {long}"]
            assert other.heard() == []

    def test_one_that_finishes_alone_is_told_with_its_record_if_that_is_small_and_ascii(self, lab: ScriptLab) -> None:
        ids = ("a", "q", "1", "A")  # all of one bucket
        small, large, binary, retried = claimed_batch(lab, *ids)
        with lab.listen(lab.keys.done_channel("a")) as listener:
            assert lab.settle(outcome(small)) == [1]
            assert lab.settle(outcome(large, result=b"x" * 1024)) == [1]
            assert lab.settle(outcome(binary, result=b"\xc3\xa9")) == [1]
            assert lab.settle(outcome(retried, "RETRY")) == [1]
            texts = listener.texts()
        record = text(lab.client.get(lab.keys.record("a")))
        assert texts == [f"a \n{record}", "q", "1"]


class TestHours:
    def test_the_next_hour_has_its_own_keys(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        hour = lab.hour()
        assert lab.settle(outcome(claimed), hour=hour - 1) == [1]
        assert {key for key in lab.dump() if "expires" in key} == {
            "r:a (expires)",
            "claim:w (expires)",
            f"finished:{hour}:3 (expires)",
            f"counts:{hour} (expires)",
        }

    @pytest.mark.parametrize("wrong", [-2, 1, 1000])
    def test_a_caller_whose_clock_is_wrong_is_told_and_nothing_is_written(self, lab: ScriptLab, wrong: int) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        before = lab.dump()
        hour = lab.hour()
        reply = text(lab.raw(settle_call(lab.keys, [outcome(claimed)], hour + wrong, lab.settings)))
        assert reply[0] == "hour"
        assert reply[1] // 3_600_000 == hour
        assert lab.dump() == before


class TestDamage:
    def test_a_message_whose_entry_was_trimmed_can_be_settled(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.client.xtrim(lab.stream(), maxlen=0)
        assert lab.settle(outcome(claimed)) == [1]
        assert lab.dump()["q:0:default"] == Stream([], {})

    def test_a_message_whose_stream_was_deleted_can_be_settled_and_retried(self, lab: ScriptLab) -> None:
        a, b = claimed_batch(lab, "a", "b")
        lab.client.delete(lab.stream())
        assert lab.settle(outcome(a, started=5), outcome(b, "RETRY", started=5)) == [1, 1]
        assert lab.claim("v").ids == ["b"]
