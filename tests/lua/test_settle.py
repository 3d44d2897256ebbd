"""settle: one recorded outcome per message, everything else of it gone, all in one step."""

from __future__ import annotations

import hashlib

import pytest

from streamtasks import StoreSettings
from streamtasks.message import Message, split_body
from streamtasks.redis import child_calls
from streamtasks.redis.calls import MOST_BYTES
from streamtasks.transitions import Claimed, NewMessage, Outcome
from tests.support.lab import KEEP_MS, LEASE_MS, RESULT, REVOKED_MS, Lab, Record, Stream, outcome, text


def counted(now: int, **counts: int) -> dict[str, str]:
    """The counters of one minute, as `counts:<hour>` holds them; a queue's name is `default`."""
    minute = now // 60_000 % 60
    return {f"{minute} default {what}": str(n) for what, n in counts.items()}


def claimed_batch(lab: Lab, *ids: str) -> list[Claimed]:
    """Claim these together; each will have started at 5."""
    lab.enqueue(*ids)
    claimed = lab.claim("w", 1, count=100).claimed
    assert [c.id for c in claimed] == list(ids)
    lab.take_tokens()
    return claimed


class TestSuccess:
    def test_leaves_the_record_the_counters_and_nothing_else(self, lab: Lab) -> None:
        [accepted] = lab.enqueue_one_by_one("a", body=b"body")
        claimed = lab.claim_one()
        lab.take_tokens()
        with lab.listen(lab.keys.done_channel("a")) as listener:
            assert lab.settle(outcome(claimed)) == [1]
            assert listener.heard() == ["a"]
        now, started = lab.now, claimed.first_started_ms
        record = Record("SUCCESS", "w#1", (now, started, started), 1, f"{accepted} body".encode(), RESULT, [])
        assert lab.record("a") == record
        spent = {"ms": now - started} if now > started else {}
        left = lab.dump()
        assert left == {
            "r:a (expires)": left["r:a (expires)"],
            f"finished:{now // 3_600_000} (expires)": [{"a": "SUCCESS 0:default"}],
            f"counts:{now // 3_600_000} (expires)": counted(now, SUCCESS=1, **spent),
            "totals": {"SUCCESS": "1"} | {name: str(ms) for name, ms in spent.items()},
            "claim:w (expires)": "1 ids",
            "streams": {"0:default": 0},
            "q:0:default": Stream([], {}),
        }

    def test_again_is_answered_already_done_and_changes_nothing(self, lab: Lab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.settle(outcome(claimed))
        before = lab.dump()
        assert lab.settle(outcome(claimed)) == [2]
        assert lab.settle(outcome(claimed, "FAILURE", result=b"other")) == [2]
        assert lab.settle(outcome(claimed, "RETRY", delay_ms=5)) == [2]
        assert lab.dump() == before

    def test_the_record_expires_when_it_should(self, lab: Lab) -> None:
        lab.enqueue("a")
        lab.settle(outcome(lab.claim_one(), keep_ms=1_000_000))
        assert 990_000 < lab.client.pttl(lab.keys.record("a")) <= 1_000_000

    def test_the_index_expires_after_the_longest_record(self, lab: Lab) -> None:
        lab.enqueue("a")
        lab.settle(outcome(lab.claim_one()))
        hour = lab.now // 3_600_000
        for key in (lab.keys.finished(hour), lab.keys.counts(hour)):
            assert lab.client.pexpiretime(key) == (hour + 1) * 3_600_000 + lab.settings.index_keep_ms

    def test_the_index_is_kept_as_long_as_any_writer_says(self, lab: Lab) -> None:
        for days in (30, 3):
            lab.enqueue(f"{days}")
            lab.settings = StoreSettings(failure_expires_s=days * 86_400.0)
            lab.settle(outcome(lab.claim_one(f"w{days}")))
            assert lab.settings.index_keep_ms == (days + 1) * 86_400_000
        hour = lab.now // 3_600_000
        for key in (lab.keys.finished(hour), lab.keys.counts(hour)):
            assert lab.client.pexpiretime(key) == (hour + 1) * 3_600_000 + 31 * 86_400_000

    def test_result_bytes_are_kept_as_they_are(self, lab: Lab) -> None:
        lab.enqueue("a", body=b"\x00\n\xff" * 5)
        body = lab.client.hget(lab.keys.messages, "a")
        result = bytes(range(256)) + b"\n1 2 3\n"
        lab.settle(outcome(lab.claim_one(), result=result, body=body))
        assert lab.record("a").body == body
        assert lab.record("a").result == result

    def test_progress_is_forgotten(self, lab: Lab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.progress(claimed, data=b'{"n":1}')
        lab.settle(outcome(claimed))
        assert "progress" not in lab.dump()


class TestFinalStates:
    @pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "IGNORED", "EXPIRED", "REVOKED", "DEAD"])
    def test_every_final_state_takes_the_message_out(self, lab: Lab, state: str) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.take_tokens()
        assert lab.settle(outcome(claimed, state, note="why", started=0)) == [1]
        left = lab.dump()
        hour = lab.now // 3_600_000
        index = {f"finished:{hour} (expires)", f"counts:{hour} (expires)"}
        expected = {"r:a (expires)", "totals", "claim:w (expires)", "streams"} | index
        assert set(left) == expected | {"q:0:default"} | ({"dead"} if state == "DEAD" else set())
        assert lab.record("a")[:2] == (state, "w#1")
        assert left[f"finished:{hour} (expires)"] == [{"a": f"{state} 0:default"}]
        assert left[f"counts:{hour} (expires)"] == counted(lab.now, **{state: 1})
        assert lab.totals() == {state: 1}
        assert left["q:0:default"] == Stream([], {})

    def test_a_dead_letter_keeps_reason_and_body(self, lab: Lab) -> None:
        [accepted] = lab.enqueue_one_by_one("a", body=b"body")
        lab.settle(outcome(lab.claim_one(), "DEAD", note="unknown task"))
        assert lab.dump()["dead"] == [
            {"reason": "unknown task", "id": "a", "stream": "0:default", "message": f"{accepted} body"}
        ]

    def test_dead_letters_are_capped(self, lab: Lab) -> None:
        for batch in range(4):
            lab.enqueue(*(f"{batch}-{n}" for n in range(100)))
            claimed = lab.claim("w", batch + 1, count=100).claimed
            outcomes = [outcome(c, "DEAD", started=5) for c in claimed]
            lab.run(child_calls.settle(lab.keys, outcomes, lab.hour(), StoreSettings(max_dead_letters=10)))
        assert lab.client.xlen(lab.keys.dead) < 300
        assert lab.dump()["dead"][-1]["id"] == "3-99"

    def test_run_times_add_up_per_queue(self, lab: Lab) -> None:
        claimed = claimed_batch(lab, "a", "b")
        now = lab.server_ms()
        lab.settle(outcome(claimed[0], started=now - 1000), outcome(claimed[1], started=now - 500))
        counts = lab.client.hgetall(lab.keys.counts(lab.now // 3_600_000))
        assert int(counts[f"{lab.now // 60_000 % 60} default ms".encode()]) == 2 * lab.now - 2 * now + 1500

    def test_two_priorities_of_a_queue_count_as_one_queue(self, lab: Lab) -> None:
        lab.enqueue("a", queue="a:b")
        lab.enqueue("b", queue="a:b", priority=-7)
        lab.settle(*(outcome(c, started=0) for c in lab.claim().claimed))
        counts = lab.client.hgetall(lab.keys.counts(lab.now // 3_600_000))
        assert counts == {f"{lab.now // 60_000 % 60} a:b SUCCESS".encode(): b"2"}


class TestRetry:
    def test_at_once_appends_a_new_entry_and_keeps_the_report(self, lab: Lab) -> None:
        [accepted] = lab.enqueue_one_by_one("a", body=b"body")
        claimed = lab.claim_one()
        lab.take_tokens()
        assert lab.settle(outcome(claimed, "RETRY", note='{"kind":"RETRY","attempt":1}')) == [1]
        assert lab.entry("a") != claimed.entry
        assert lab.dump() == {
            "messages": {"a": f"{accepted} body"},
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

    def test_later_parks_it_and_tells_supervisors(self, lab: Lab) -> None:
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
            "totals": {"RETRY": "1"},
            "claim:w (expires)": "1 ids",
            "streams": {"0:default": 0},
            "q:0:default": Stream([], {}),
        }

    @pytest.mark.parametrize("delay_ms", [0, 60_000])
    def test_again_is_answered_already_done(self, lab: Lab, delay_ms: int) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.settle(outcome(claimed, "RETRY", delay_ms=delay_ms))
        before = lab.dump()
        assert lab.settle(outcome(claimed, "RETRY", delay_ms=delay_ms)) == [2]
        assert lab.dump() == before

    def test_again_is_known_even_while_the_next_attempt_runs(self, lab: Lab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one("w", 1)
        lab.settle(outcome(claimed, "RETRY"))
        lab.claim_one("v", 1)
        before = lab.dump()
        assert lab.settle(outcome(claimed, "RETRY")) == [2]
        assert lab.dump() == before

    def test_the_last_attempt_records_all_reports(self, lab: Lab) -> None:
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

    def test_a_retry_queues_behind_what_came_meanwhile(self, lab: Lab) -> None:
        lab.enqueue("a", "b")
        lab.settle(outcome(lab.claim_one("w", 1), "RETRY"))
        assert lab.claim("w", 2).ids == ["b", "a"]


class TestTokens:
    def test_a_wrong_token_is_stale_and_changes_nothing(self, lab: Lab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one("w", 1)
        before = lab.dump()
        for token in ("w#2", "v#1", "w#11", "w#", "w", "", "w#1 R"):
            assert lab.settle(outcome(claimed._replace(token=token)), released=[]) == [0]
        assert lab.dump() == before

    @pytest.mark.parametrize("state", ["SUCCESS", "RETRY"])
    def test_a_fenced_holder_is_stale_after_another_one_finished(self, lab: Lab, state: str) -> None:
        lab.enqueue("a")
        old = lab.claim_one("old", 1)
        lab.expire_leases("old#1")
        lab.reclaim("0:default")
        new = lab.claim_one("new", 1)
        before = lab.dump()
        assert lab.settle(outcome(old, state)) == [0]
        assert lab.dump() == before
        assert lab.settle(outcome(new)) == [1]
        before = lab.dump()
        assert lab.settle(outcome(old, state)) == [0]
        assert lab.dump() == before

    def test_an_id_that_was_never_enqueued_is_stale(self, lab: Lab) -> None:
        unknown = Outcome("x", "w#1", "0:default", "1-1", 1, 5, 5, "SUCCESS", RESULT, "", KEEP_MS)
        assert lab.settle(unknown) == [0]
        assert lab.dump() == {}

    def test_a_message_that_was_handed_back_is_stale(self, lab: Lab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.hand_back(claimed)
        before = lab.dump()
        assert lab.settle(outcome(claimed)) == [0]
        assert lab.dump() == before

    def test_a_suspect_can_not_be_settled_by_its_old_holder(self, lab: Lab) -> None:
        lab.enqueue("a")
        old = lab.claim_one("old", 1)
        lab.expire_leases("old#1")
        lab.reclaim("0:default")
        before = lab.dump()
        assert lab.settle(outcome(old)) == [0]
        assert lab.dump() == before


class TestBatches:
    def test_outcomes_of_all_kinds_go_in_one_call(self, lab: Lab) -> None:
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
        assert left[f"finished:{lab.now // 3_600_000} (expires)"] == [
            {"a": "SUCCESS 0:default", "b": "FAILURE 0:default", "d": "DEAD 0:default"}
        ]
        assert left["q:0:default"] == Stream([], {})
        assert set(left["messages"]) == set(left["state"]) == set(left["delayed"]) == {"c"}
        assert not {"leases", "batches", "running"} & set(left)

    def test_one_stale_member_does_not_spoil_the_others(self, lab: Lab) -> None:
        a, b, c = claimed_batch(lab, "a", "b", "c")
        lab.hand_back(b)
        held_back = lab.line("b")
        assert lab.settle(outcome(a, started=5), outcome(b, started=5), outcome(c, "RETRY", started=5)) == [1, 0, 1]
        left = lab.dump()
        assert {key for key in left if key.startswith("r:")} == {"r:a (expires)"}
        assert lab.line("b") == held_back
        assert left["q:0:default"] == Stream(["b", "c"], {"b": "returned"})

    def test_a_member_that_names_no_stream_of_the_call_is_stale(self, lab: Lab) -> None:
        a, b = claimed_batch(lab, "a", "b")
        outcomes = [outcome(a, "FAILURE", started=5), outcome(b, started=5)]
        call = child_calls.settle(lab.keys, outcomes, lab.hour(), lab.settings)
        call.args[call.args.index("w#1") + 1] = 9
        assert lab.run(call)[1:] == [0, 1]
        assert lab.line("a") is not None

    def test_a_member_given_twice_counts_once(self, lab: Lab) -> None:
        lab.enqueue("a")
        done = outcome(lab.claim_one())
        first, second = lab.run(child_calls.settle(lab.keys, [done, done], lab.hour(), lab.settings))[1:]
        assert first == 1
        assert second != 1
        left = lab.dump()
        assert lab.totals() == {"SUCCESS": 1}
        assert left[f"finished:{lab.now // 3_600_000} (expires)"] == [{"a": "SUCCESS 0:default"}]

    def test_a_batch_repeated_after_a_lost_reply_is_already_done_throughout(self, lab: Lab) -> None:
        claimed = claimed_batch(lab, *(f"{n:02}" for n in range(100)))
        outcomes = [outcome(c, "RETRY" if n % 3 == 0 else "SUCCESS", started=5) for n, c in enumerate(claimed)]
        assert lab.settle(*outcomes) == [1] * 100
        before = lab.dump()
        assert lab.settle(*outcomes) == [2] * 100
        assert lab.dump() == before

    def test_members_of_several_streams(self, lab: Lab) -> None:
        lab.enqueue("a")
        lab.enqueue("b", queue="mail", priority=3)
        claimed = lab.claim().claimed
        lab.take_tokens()
        assert lab.settle(*(outcome(c, started=5) for c in claimed)) == [1, 1]
        left = lab.dump()
        assert left["q:0:default"] == left["q:3:mail"] == Stream([], {})
        assert left[f"finished:{lab.now // 3_600_000} (expires)"] == [{"b": "SUCCESS 3:mail", "a": "SUCCESS 0:default"}]

    def test_finished_ids_are_told_on_the_channels_of_their_buckets(self, lab: Lab) -> None:
        long = "0" * 31 + "a-u0"
        a, b, c = claimed_batch(lab, "a", "q", long)
        assert lab.keys.done_channel("a") == lab.keys.done_channel("q") == lab.keys.done_channel(long)
        with lab.listen(lab.keys.done_channel("a")) as listener, lab.listen(lab.keys.done_channel("b")) as other:
            lab.settle(outcome(a, started=5), outcome(b, "RETRY", started=5), outcome(c, started=5))
            assert listener.heard() == [f"a {long}"]
            assert other.heard() == []


class TestLease:
    def test_a_claim_keeps_its_lease_until_its_last_message_is_out(self, lab: Lab) -> None:
        a, b, c = claimed_batch(lab, "a", "b", "c")
        lease = {"w#1": lab.now + LEASE_MS}
        lab.settle(outcome(a, started=5))
        assert lab.dump()["leases"] == lease
        assert lab.dump()["batches"] == {"w#1": "3 a b c"}
        lab.settle(outcome(b, "RETRY", started=5), released=[])
        assert lab.dump()["leases"] == lease
        lab.settle(outcome(c, started=5))
        assert not {"leases", "batches"} & set(lab.dump())

    def test_a_whole_batch_leaves_no_lease(self, lab: Lab) -> None:
        lab.settle(*(outcome(c, started=5) for c in claimed_batch(lab, "a", "b", "c")))
        assert not {"leases", "batches"} & set(lab.dump())

    def test_releasing_what_still_holds_a_message_keeps_the_lease(self, lab: Lab) -> None:
        claimed_batch(lab, "a", "b")
        before = lab.dump()
        lab.settle(released=["w#1"])
        assert lab.dump() == before

    def test_a_stale_holder_can_not_release_anothers_lease(self, lab: Lab) -> None:
        lab.enqueue("a")
        old = lab.claim_one("old", 1)
        lab.expire_leases("old#1")
        lab.reclaim("0:default")
        lab.claim_one("new", 1)
        before = lab.dump()
        lab.settle(outcome(old))
        assert lab.dump() == before

    def test_one_that_was_handed_back_and_claimed_again_is_not_what_the_old_claim_holds(self, lab: Lab) -> None:
        a, b = claimed_batch(lab, "a", "b")
        lab.hand_back(b)
        lab.claim("v", 1)
        lab.settle(outcome(a, started=5))
        left = lab.dump()
        assert set(left["leases"]) == set(left["batches"]) == {"v#1"}


class TestHours:
    def test_the_next_hour_has_its_own_keys(self, lab: Lab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        hour = lab.hour()
        assert lab.settle(outcome(claimed), hour=hour - 1) == [1]
        assert {key for key in lab.dump() if "expires" in key} == {
            "r:a (expires)",
            "claim:w (expires)",
            f"finished:{hour} (expires)",
            f"counts:{hour} (expires)",
        }

    @pytest.mark.parametrize("wrong", [-2, 1, 1000])
    def test_a_caller_whose_clock_is_wrong_is_told_and_nothing_is_written(self, lab: Lab, wrong: int) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        before = lab.dump()
        hour = lab.hour()
        reply = text(lab.raw(child_calls.settle(lab.keys, [outcome(claimed)], hour + wrong, lab.settings)))
        assert reply[0] == "hour"
        assert reply[1] // 3_600_000 == hour
        assert lab.dump() == before


class TestDamage:
    def test_a_message_whose_entry_was_trimmed_can_be_settled(self, lab: Lab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.client.xtrim(lab.stream(), maxlen=0)
        assert lab.settle(outcome(claimed)) == [1]
        assert lab.dump()["q:0:default"] == Stream([], {})

    def test_a_message_whose_stream_was_deleted_can_be_settled_and_retried(self, lab: Lab) -> None:
        a, b = claimed_batch(lab, "a", "b")
        lab.client.delete(lab.stream())
        assert lab.settle(outcome(a, started=5), outcome(b, "RETRY", started=5)) == [1, 1]
        assert lab.claim("v").ids == ["b"]


class TestFollowUps:
    """Messages that are accepted in the step that settles."""

    def test_they_are_accepted_with_the_outcome(self, lab: Lab) -> None:
        [claimed] = claimed_batch(lab, "a")
        follow = (
            NewMessage("b", "mail", 5, b"B"),
            NewMessage("c", "default", 0, b"C", delay_ms=60_000),
            NewMessage("d", "default", 0, b"D", after="c"),
        )
        assert lab.settle(outcome(claimed, started=5, follow=follow)) == [1]
        left = lab.dump()
        now = lab.now
        assert left["messages"] == {"b": f"{now} B", "c": f"{now} C", "d": f"{now} D"}
        assert left["q:5:mail"] == Stream(["b"], {})
        assert left["delayed"] == {"c": now + 60_000}
        assert left["state"] == {"c": "- D 0:default - 0 0 0 0 0 -", "d": "- B 0:default - 0 0 0 0 0 - a=c"}
        assert left["links"] == {"c": "d"}
        assert left["wake:mail"] == ["1"]
        assert lab.settle(outcome(claimed, started=5, follow=follow)) == [2]
        assert lab.dump() == left

    def test_only_those_of_outcomes_that_count(self, lab: Lab) -> None:
        a, b = claimed_batch(lab, "a", "b")
        stranger = outcome(b._replace(token="x#1"), started=5, follow=(NewMessage("c", "default", 0, b"C"),))
        mine = outcome(a, "RETRY", started=5, delay_ms=60_000, follow=(NewMessage("d", "default", 0, b"D"),))
        assert lab.settle(stranger, mine) == [0, 1]
        assert set(lab.dump()["messages"]) == {"a", "b", "d"}

    def test_one_that_is_known_is_not_accepted_again(self, lab: Lab) -> None:
        a, _ = claimed_batch(lab, "a", "b")
        follow = (NewMessage("b", "default", 0, b"other"), NewMessage("c", "default", 0, b"C"))
        lab.settle(outcome(a, started=5, follow=follow))
        assert lab.client.hget(lab.keys.messages, "b").endswith(b"{}")
        assert lab.dump()["q:0:default"] == Stream(["b", "c"], {"b": "w"})

    def test_calls_are_cut_with_their_follow_ups(self) -> None:
        claimed = Claimed("a", "w#1", "0:default", "1-1", 1, 0, 5, b"")
        plain, many = outcome(claimed), outcome(claimed, follow=(NewMessage("b", "default", 0, b""),) * 60)
        assert child_calls.settle_chunks([]) == []
        assert [len(chunk) for chunk in child_calls.settle_chunks([plain] * 250)] == [100, 100, 50]
        assert [len(chunk) for chunk in child_calls.settle_chunks([many, plain, many, many])] == [2, 1, 1]

    def test_calls_are_cut_by_bytes(self) -> None:
        claimed = Claimed("a", "w#1", "0:default", "1-1", 1, 0, 5, b"")
        body, result = outcome(claimed), outcome(claimed)
        body, result = body._replace(body=b"x" * 200_000), result._replace(result=b"x" * 200_000)
        heavy = outcome(claimed, follow=(NewMessage("b", "default", 0, b"x" * MOST_BYTES),))
        assert [len(chunk) for chunk in child_calls.settle_chunks([body, result] * 3)] == [3, 3]
        assert [len(chunk) for chunk in child_calls.settle_chunks([body, heavy, result])] == [2, 1]


class TestRevokedWhileHeld:
    """Whatever the holder says, the message is REVOKED."""

    def revoked(self, lab: Lab, claimed: Claimed) -> None:
        line = lab.line(claimed.id)
        assert line is not None
        token, _, rest = line.split(" ", 2)
        lab.client.hset(lab.keys.state, claimed.id, f"{token} X {rest} x=revoked")

    @pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "IGNORED", "EXPIRED", "DEAD", "RETRY"])
    def test_every_outcome_is_overridden(self, lab: Lab, state: str) -> None:
        [accepted] = lab.enqueue_one_by_one("a", body=b"body")
        claimed = lab.claim_one()
        self.revoked(lab, claimed)
        lab.take_tokens()
        follow = (NewMessage("b", "default", 0, b"B"),)
        done = outcome(claimed, state, follow=follow)
        assert lab.settle(done) == [1]
        now, started = lab.now, claimed.first_started_ms
        reports = [{"kind": "RETRY"}] if state == "RETRY" else []
        expected = Record("REVOKED", "w#1", (now, started, started), 1, f"{accepted} body".encode(), b"", reports)
        assert lab.record("a") == expected
        assert REVOKED_MS - 5_000 < lab.client.pttl(lab.keys.record("a")) <= REVOKED_MS
        left = lab.dump()
        assert not {"messages", "state", "history", "running", "leases", "batches", "dead", "wake"} & set(left)
        assert left[f"finished:{now // 3_600_000} (expires)"] == [{"a": "REVOKED 0:default"}]
        assert lab.totals() == {"REVOKED": 1}
        assert left["q:0:default"] == Stream([], {})
        assert lab.settle(done) == [2]
        assert lab.dump() == left

    def test_its_holder_may_say_so_itself(self, lab: Lab) -> None:
        [claimed] = claimed_batch(lab, "a")
        self.revoked(lab, claimed)
        follow = (NewMessage("b", "default", 0, b"B"),)
        assert lab.settle(outcome(claimed, "REVOKED", started=0, follow=follow), callbacks="revoked") == [1]
        assert lab.record("a").result == RESULT
        assert set(lab.dump()["messages"]) == {"b"}


class TestCallbacks:
    """Messages that have a child do what belongs to an outcome that none has seen."""

    ID = "cb." + hashlib.sha1(b"a").hexdigest()

    def body(self, lab: Lab) -> bytes:
        call = f'{{"v":1,"id":"{self.ID}","t":"streamtasks.callback","a":["a"],"k":{{}},"q":"default","p":0}}'
        return f"{lab.now} {call}".encode()

    @pytest.mark.parametrize("callbacks", ["revoked", "all"])
    def test_one_for_what_was_revoked_while_held(self, lab: Lab, callbacks: str) -> None:
        [claimed] = claimed_batch(lab, "a")
        TestRevokedWhileHeld().revoked(lab, claimed)
        assert lab.settle(outcome(claimed, started=5), callbacks=callbacks) == [1]
        assert lab.client.hgetall(lab.keys.messages) == {self.ID.encode(): self.body(lab)}
        left = lab.dump()
        assert left["q:0:default"] == Stream([self.ID], {})
        assert left["wake"] == left["wake:default"] == ["1"]
        assert Message.decode(split_body(self.body(lab))[1]).args == ["a"]

    @pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "REVOKED", "DEAD", "EXPIRED", "IGNORED"])
    def test_one_for_every_final_outcome_if_asked(self, lab: Lab, state: str) -> None:
        [claimed] = claimed_batch(lab, "a")
        done = outcome(claimed, state, started=5)
        assert lab.settle(done, callbacks="all") == [1]
        assert set(lab.dump()["messages"]) == {self.ID}
        before = lab.dump()
        assert lab.settle(done, callbacks="all") == [2]
        assert lab.dump() == before

    def test_none_for_a_retry_and_none_unasked(self, lab: Lab) -> None:
        a, b = claimed_batch(lab, "a", "b")
        lab.settle(outcome(a, "RETRY", started=5, delay_ms=60_000), callbacks="all")
        lab.settle(outcome(b, "DEAD", started=5), callbacks="revoked")
        assert set(lab.dump()["messages"]) == {"a"}

    @pytest.mark.parametrize("state", ["CALLED", "DEAD", "FAILURE"])
    def test_it_leaves_no_trace(self, lab: Lab, state: str) -> None:
        lab.enqueue(self.ID)
        claimed = lab.claim_one()
        lab.take_tokens()
        assert lab.settle(outcome(claimed, state), callbacks="all") == [1]
        left = lab.dump()
        dead = {"dead"} if state == "DEAD" else set()
        assert set(left) == {"claim:w (expires)", "streams", "q:0:default"} | dead
        assert left["q:0:default"] == Stream([], {})

    def test_settled_again_it_is_done_already(self, lab: Lab) -> None:
        lab.enqueue(self.ID)
        claimed = lab.claim_one()
        assert lab.settle(outcome(claimed, "CALLED")) == [1]
        assert lab.settle(outcome(claimed, "CALLED")) == [2]


class TestBlocked:
    """Whoever waits for a finished message goes on."""

    def blocked(self, lab: Lab) -> Claimed:
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
    def test_after_a_success_as_soon_as_it_is_due(self, lab: Lab, state: str) -> None:
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
    def test_after_a_failure_at_once_and_marked(self, lab: Lab, state: str) -> None:
        claimed = self.blocked(lab)
        lab.settle(outcome(claimed, state, started=5))
        assert lab.dump()["delayed"] == {"b": lab.now, "c": lab.now}
        assert lab.line("b") == lab.line("c") == "- D 0:default - 0 0 0 0 0 - x=parent:a"
        assert lab.promote("0:default")[0] == 2
        assert lab.line("b") == "- Q 0:default - 0 0 0 0 0 - x=parent:a"

    def test_not_after_a_retry(self, lab: Lab) -> None:
        claimed = self.blocked(lab)
        lab.settle(outcome(claimed, "RETRY", started=5, delay_ms=60_000))
        assert lab.dump()["links"] == {"a": "b c", "e": "f"}

    def test_one_that_is_no_more_is_passed_over(self, lab: Lab) -> None:
        claimed = self.blocked(lab)
        lab.client.hdel(lab.keys.state, "b")
        lab.client.hdel(lab.keys.messages, "b")
        lab.settle(outcome(claimed, started=5))
        assert lab.dump()["delayed"] == {"c": self.later}

    @pytest.mark.parametrize(("state", "mark"), [("SUCCESS", ""), ("FAILURE", " x=parent:a")])
    def test_many_go_on_in_steps(self, lab: Lab, state: str, mark: str) -> None:
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


class TestEvents:
    def test_one_entry_a_call_tells_every_outcome(self, lab: Lab) -> None:
        lab.settings = StoreSettings(send_events=True)
        lab.enqueue("a", "b")
        a, b = lab.claim().claimed
        lab.settle(outcome(a), outcome(b, "RETRY", delay_ms=60_000))
        lab.settle(outcome(a))
        assert lab.dump()["events"] == [
            {"kind": "accepted", "a": "0:default", "b": "0:default"},
            {"kind": "settled", "b": "RETRY", "a": "SUCCESS"},
        ]
