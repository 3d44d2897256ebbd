"""reclaim: what a vanished worker held becomes suspect; not after a silence of all, and not for ever."""

from __future__ import annotations

import pytest

from streamtasks.protocol.keys import GROUP
from tests.support.script_lab import LEASE_MS, ScriptLab, outcome
from tests.support.server_dump import Stream


def line_of(entry: str, *, attempts: int, lost: int, first: int) -> str:
    return f"- S 0:default {entry} {attempts} 0 {lost} {first} 0 -"


class TestExpired:
    def test_a_started_message_is_suspect_and_its_loss_is_recorded(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one("gone", 1)
        lab.progress(claimed, data=b"1")
        lab.take_tokens()
        lab.expire_leases("gone#1")
        assert lab.reclaim("0:default") == (1, [], [], 0)
        started = claimed.first_started_ms
        left = lab.dump()
        assert left == {
            "messages": left["messages"],
            "beat": left["beat"],
            "state": {"a": line_of(claimed.entry, attempts=1, lost=1, first=started)},
            "history": {"a": f'{{"kind":"LOST","attempt":1,"worker":"gone","started":{started}}}\n'},
            "totals": {"RECLAIMED": "1"},
            "ready": {"0:default": 0},
            "claim:gone (expires)": "1 ids",
            "streams": {"0:default": 0},
            "q:0:default": Stream(["a"], {"a": "suspect"}),
            "wake": ["1"],
            "wake:default": ["1"],
        }
        assert lab.history("a") == [{"kind": "LOST", "attempt": 1, "worker": "gone", "started": started}]

    def test_an_unstarted_one_is_suspect_but_not_charged(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b")
        a, b = lab.claim("gone", 1).claimed
        lab.expire_leases("gone#1")
        assert lab.reclaim("0:default") == (2, [], [], 0)
        left = lab.dump()
        assert left["state"] == {
            "a": line_of(a.entry, attempts=0, lost=0, first=0),
            "b": line_of(b.entry, attempts=0, lost=0, first=0),
        }
        assert not {"history", "leases", "batches", "running"} & set(left)
        again = lab.claim_one("w", 1)
        assert (again.id, again.attempt, again.retries) == ("a", 1, 0)

    def test_again_changes_nothing(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.claim_one("gone", 1)
        lab.expire_leases("gone#1")
        lab.reclaim("0:default")
        before = lab.dump()
        assert lab.reclaim("0:default") == (0, [], [], 0)
        assert lab.dump() == before

    def test_a_claim_that_is_renewed_stays(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.claim_one("w", 1)
        lab.expire_leases("w#1")
        assert lab.renew("w#1") == [1]
        before = lab.dump()
        assert lab.reclaim("0:default") == (0, [], [], 0)
        assert lab.dump() == before

    def test_only_what_the_claim_still_holds(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b", "c", "d")
        a, b, c, _ = lab.claim("gone", 1).claimed
        lab.settle(outcome(a, started=5), outcome(b, "RETRY", started=5), released=[])
        lab.hand_back(c)
        lab.expire_leases("gone#1")
        assert lab.reclaim("0:default") == (1, [], [], 0)
        left = lab.dump()
        assert left["q:0:default"] == Stream(["c", "d", "b"], {"c": "returned", "d": "suspect"})
        assert not {"leases", "batches"} & set(left)

    def test_a_lease_of_nothing_is_forgotten(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.settle(outcome(lab.claim_one("w", 1)), released=[])
        lab.expire_leases("w#1")
        assert lab.reclaim("0:default") == (0, [], [], 0)
        assert not {"leases", "batches"} & set(lab.dump())

    def test_a_repeated_claim_of_the_vanished_one_does_not_bring_it_back(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        old = lab.claim_one("gone", 1)
        lab.expire_leases("gone#1")
        lab.reclaim("0:default")
        assert lab.renew("gone#1") == [0]
        assert lab.mark_running(old) == [0]
        assert lab.hand_back(old) == ([], [0])
        assert lab.settle(outcome(old)) == [0]

    def test_missing_streams_are_named_and_what_is_in_them_stays(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.enqueue("b", queue="mail")
        lab.claim("gone", 1)
        lab.expire_leases("gone#1")
        reclaimed, missing, exhausted, _ = lab.reclaim("0:default")
        assert (reclaimed, missing, exhausted) == (1, ["0:mail"], [])
        assert set(lab.dump()["leases"]) == {"gone#1"}
        assert lab.reclaim("0:default", "0:mail") == (1, [], [], 0)
        left = lab.dump()
        assert lab.totals() == {"RECLAIMED": 2}
        assert not {"leases", "batches"} & set(left)

    def test_hundreds_go_in_bounded_steps(self, lab: ScriptLab) -> None:
        for claim in range(3):
            lab.enqueue(*(f"{claim}-{n}" for n in range(100)))
            lab.claim(f"gone{claim}", 1, count=100)
        lab.expire_leases("gone0#1", "gone1#1", "gone2#1")
        counts, more = [], 1
        while more:
            reclaimed, _, _, more = lab.reclaim("0:default")
            counts.append(reclaimed)
        assert sum(counts) == 300
        assert max(counts) < 200
        assert not {"leases", "batches"} & set(lab.dump())

    def test_the_earliest_go_first_and_no_more_claims_than_asked_for(self, lab: ScriptLab) -> None:
        for who in ("v", "w"):
            lab.enqueue(who)
            lab.claim_one(who, 1)
        lab.expire_leases("w#1", "v#1")
        assert lab.reclaim("0:default", most=1)[0] == 1
        assert set(lab.dump()["leases"]) == {"v#1"}

    def test_a_full_look_says_that_there_may_be_more(self, lab: ScriptLab) -> None:
        for who in ("u", "v", "w"):
            lab.enqueue(who)
            lab.claim_one(who, 1)
        lab.expire_leases("u#1", "v#1", "w#1")
        assert lab.reclaim("0:default", most=2) == (2, [], [], 1)
        assert lab.reclaim("0:default", most=2) == (1, [], [], 0)


class TestLimit:
    def lose(self, lab: ScriptLab, seq: int, **options: int) -> object:
        """Start `a` in a worker that vanishes, and reclaim."""
        lab.claim_one(f"gone{seq}", seq)
        lab.expire_leases(f"gone{seq}#{seq}")
        return lab.reclaim("0:default", **options)

    def test_losses_count_and_are_no_retries(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        for seq in (1, 2, 3):
            assert self.lose(lab, seq) == (1, [], [], 0)
        claimed = lab.claim_one("w", 1)
        assert (claimed.attempt, claimed.retries) == (4, 0)
        assert [report["attempt"] for report in lab.history("a")] == [1, 2, 3]

    def test_at_the_limit_it_is_left_with_the_caller_to_be_settled(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        self.lose(lab, 1, lost_limit=2)
        claimed = lab.claim_one("gone", 1)
        first, started = claimed.first_started_ms, lab.now
        lab.take_tokens()
        lab.expire_leases("gone#1")
        reclaimed, missing, exhausted, _ = lab.reclaim("0:default", lost_limit=2)
        assert (reclaimed, missing) == (0, [])
        assert exhausted == ["a", "gone#1", "0:default", claimed.entry, 2, str(started), str(first)]
        assert lab.dump()["leases"] == {"gone#1": lab.now + LEASE_MS}, "not for ever, should the caller die"
        before = lab.dump()
        assert lab.reclaim("0:default", lost_limit=2) == (0, [], [], 0)
        assert lab.dump() == before
        assert lab.settle(outcome(claimed, "DEAD", note="lost")) == [1]
        left = lab.dump()
        assert lab.totals() == {"RECLAIMED": 1, "DEAD": 1}
        assert not {"leases", "batches", "state", "history", "messages"} & set(left)

    def test_an_unstarted_one_is_never_exhausted(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b")
        lab.claim("gone", 1)
        lab.expire_leases("gone#1")
        assert lab.reclaim("0:default", lost_limit=1) == (2, [], [], 0)

    def test_its_neighbours_of_the_same_claim_are_reclaimed(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b")
        a, _ = lab.claim("gone", 1).claimed
        lab.mark_running(a)
        lab.expire_leases("gone#1")
        reclaimed, _, exhausted, _ = lab.reclaim("0:default", lost_limit=1)
        assert (reclaimed, exhausted[0]) == (1, "a")
        assert lab.claim("w", 1).ids == ["b"]
        assert lab.settle(outcome(a, "DEAD", started=5)) == [1]
        assert set(lab.dump()["leases"]) == {"w#1"}

    def test_a_claim_that_only_lacks_a_stream_is_not_put_off_with_one_that_is_given_up(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.claim_one("gone", 1)
        lab.enqueue("b", queue="mail")
        lab.claim_one("lost", 1)
        lab.expire_leases("gone#1", "lost#1")
        _, missing, exhausted, _ = lab.reclaim("0:default", lost_limit=1)
        assert (missing, exhausted[0]) == (["0:mail"], "a")
        assert lab.dump()["leases"] == {"gone#1": lab.now + LEASE_MS, "lost#1": 2}


class TestSilence:
    """After a time without any beat the workers may only have been unable to say that they live."""

    @pytest.fixture(autouse=True)
    def _expired(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.claim_one("w", 1)
        lab.expire_leases("w#1")

    def test_without_any_beat_nothing_is_reclaimed(self, lab: ScriptLab) -> None:
        lab.client.delete(lab.keys.beat)
        before = lab.dump()
        assert lab.reclaim("0:default") == (0, [], [], 0)
        assert lab.dump() == before

    def test_a_silence_of_more_than_half_a_lease_holds_it_back(self, lab: ScriptLab) -> None:
        lab.client.set(lab.keys.beat, f"{lab.server_ms() - LEASE_MS // 2 - 1} 0")
        assert lab.reclaim("0:default") == (0, [], [], 0)

    def test_a_shorter_one_does_not(self, lab: ScriptLab) -> None:
        lab.client.set(lab.keys.beat, f"{lab.server_ms() - LEASE_MS // 2 + 3000} 0")
        assert lab.reclaim("0:default")[0] == 1

    def test_the_first_beat_after_a_silence_gives_everybody_one_more_lease(self, lab: ScriptLab) -> None:
        lab.client.set(lab.keys.beat, f"{lab.server_ms() - LEASE_MS} 0")
        assert lab.beat() == LEASE_MS
        assert lab.reclaim("0:default") == (0, [], [], 0)
        lab.beat()
        assert lab.reclaim("0:default") == (0, [], [], 0), "a second beat does not end the wait"

    def test_when_that_is_over_it_goes_on(self, lab: ScriptLab) -> None:
        now = lab.server_ms()
        lab.client.set(lab.keys.beat, f"{now} {now + 60_000}")
        assert lab.reclaim("0:default")[0] == 0
        lab.client.set(lab.keys.beat, f"{now} {now}")
        assert lab.reclaim("0:default")[0] == 1


class TestDamage:
    def test_a_message_whose_entry_was_trimmed_is_not_lost(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.claim_one("gone", 1)
        lab.client.xtrim(lab.stream(), maxlen=0)
        lab.expire_leases("gone#1")
        assert lab.reclaim("0:default")[0] == 1
        assert lab.claim("w", 1).ids == ["a"]

    def test_messages_of_a_stream_that_lost_its_group_are_not_lost(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b")
        lab.claim("gone", 1)
        lab.client.xgroup_destroy(lab.stream(), GROUP)
        lab.expire_leases("gone#1")
        assert lab.reclaim("0:default")[0] == 2
        assert sorted(i for seq in (1, 2, 3) for i in lab.claim("w", seq).ids) == ["a", "b"]
