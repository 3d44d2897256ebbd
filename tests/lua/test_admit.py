"""admit.lua: messages that wait for a rate limit go on in their order, one token each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamtasks.stores.tokens import TokenGrant, TokenRequest
from streamtasks.stores.types import Limit
from tests.support.script_lab import AdmitReply
from tests.support.server_dump import Stream, accepted_at
from tests.support.waiting import DEADLINE_S

if TYPE_CHECKING:
    from tests.support.script_lab import ScriptLab

HOURLY = Limit("mail", 3_600_000_000)
QUICK = Limit("mail", 50_000)
MARK = "l=3600000000,1,mail"
NAME = "0:default"


def seconds(us: float | None) -> float:
    assert us is not None
    return us / 1_000_000


def member(task_id: str, sequence: int, priority: int = 0, limit: str = "mail") -> str:
    return f"{limit}\0{100 - priority:03}\0{sequence:016}\0{task_id}"


def test_who_waits_is_asked_for_and_admitted(lab: ScriptLab) -> None:
    [accepted] = lab.enqueue_one_by_one("a", body=b"body", limit=HOURLY)
    assert lab.dump() == {
        "messages": {"a": f"{accepted_at(accepted)} body"},
        "state": {"a": f"- W {NAME} 0000000000000001 0 0 0 0 0 - {MARK}"},
        "waiting": {member("a", 1): 0},
        "waits": {"limited default": 1},
        "limits": {"mail": "3600000000 1 1 0 0 0"},
        "asking": {"mail": pytest.approx(accepted, abs=1)},
    }
    admission, missing = lab.admit()
    assert admission._replace(next_us=None) == AdmitReply(0, [TokenRequest(HOURLY, 1, 1)], None)
    assert seconds(admission.next_us) == pytest.approx(1.0, abs=0.002)
    assert missing == []
    assert lab.dump()["limits"] == {"mail": "3600000000 1 1 1 0 0"}
    again, _ = lab.admit()
    assert again.asks == [], "each ask is handed out once"
    admission, missing = lab.admit(TokenGrant("mail", 1, 1, 0), names=[NAME])
    assert admission.admitted == 1
    assert admission.asks == []
    assert missing == []
    asked_again = lab.now + 2000
    assert lab.dump() == {
        "messages": {"a": f"{accepted_at(accepted)} body"},
        "state": {"a": f"- Q {NAME} - 0 0 0 0 0 - {MARK}"},
        "limits": {"mail": "3600000000 1 1 1 1 0 a"},
        "asking": {"mail": pytest.approx(asked_again, abs=1)},
        "q:0:default": Stream(["a"], {}),
        "ready": {NAME: 0},
        "streams": {NAME: 0},
        "wake": ["1"],
        "wake:default": ["1"],
    }
    assert lab.claim_one().id == "a"


def test_the_same_grant_again_admits_nobody(lab: ScriptLab) -> None:
    lab.enqueue("a", "b", limit=HOURLY._replace(burst=4))
    lab.admit()
    assert lab.admit(TokenGrant("mail", 1, 1, 0), names=[NAME])[0].admitted == 1
    before = lab.dump()
    assert lab.admit(TokenGrant("mail", 1, 1, 0), names=[NAME])[0].admitted == 0
    after = lab.dump()
    assert after["waiting"] == before["waiting"] == {member("b", 2): 0}
    assert after["q:0:default"] == Stream(["a"], {})


def test_streams_that_a_grant_needs_are_named_and_nothing_is_lost(lab: ScriptLab) -> None:
    lab.enqueue("a", queue="post", limit=HOURLY)
    lab.admit()
    before = lab.dump()
    admission, missing = lab.admit(TokenGrant("mail", 1, 1, 0), names=[NAME])
    assert (admission.admitted, missing) == (0, ["0:post"])
    assert lab.dump() == before
    assert lab.admit(TokenGrant("mail", 1, 1, 0), names=["0:post"])[0].admitted == 1


def test_a_denied_one_asks_again_when_told(lab: ScriptLab) -> None:
    lab.enqueue("a", limit=HOURLY)
    lab.admit()
    admission, _ = lab.admit(TokenGrant("mail", 1, 0, 500_000))
    assert admission.asks == []
    assert seconds(admission.next_us) == pytest.approx(0.5, abs=0.005)
    told_ms = lab.now
    lab.enqueue("b", limit=HOURLY)
    later_us = lab.admit()[0].next_us
    assert seconds(later_us) == pytest.approx(0.5 - (lab.now - told_ms) / 1000, abs=0.005), "a new one changes nothing"


def test_priority_comes_first_then_the_sequence(lab: ScriptLab) -> None:
    lab.enqueue("a", "b", limit=QUICK)
    lab.enqueue("low", priority=-100, limit=QUICK)
    lab.enqueue("high", priority=100, limit=QUICK)
    lab.enqueue("c", limit=QUICK)
    names = [NAME, "-100:default", "100:default"]
    order: list[str] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(order) < 5:
        assert time.monotonic() < deadline
        if lab.admit_now(*names):
            order += lab.claim(seq=len(order) + 1).ids
    assert order == ["high", "a", "b", "c", "low"]


def test_a_second_one_is_not_admitted_before_the_first_is_claimed(lab: ScriptLab) -> None:
    quick = Limit("mail", 20_000)
    lab.enqueue("a", "b", limit=quick)
    assert lab.admit_now(NAME) == 1
    time.sleep(0.05)  # its next token is there by now
    assert lab.admit_now(NAME) == 0
    with lab.listen(lab.keys.control) as listener:
        assert lab.claim_one().id == "a"
        assert listener.heard() == ["limit"]
    claimed = lab.now
    while lab.admit_now(NAME) == 0:
        assert lab.now <= claimed + DEADLINE_S * 1000
    assert lab.now >= claimed + 16 - 1, "its start counts from the claim, not from the grant"


def test_starts_count_from_their_claims(lab: ScriptLab) -> None:
    lab.enqueue("a", "b", limit=HOURLY)
    lab.admit_now(NAME)
    claimed = lab.claim_one()
    lab.client.delete(lab.keys.limiter("mail"))  # it alone would grant one now
    assert lab.admit_now(NAME) == 0
    interval, _, _, asked, answered, full_at = map(int, lab.dump()["limits"]["mail"].split())
    assert (interval, asked, answered) == (3_600_000_000, 1, 1)
    assert full_at // 1000 == pytest.approx(claimed.first_started_ms + 3_600_000 - 20, abs=3)


def test_limits_do_not_wait_for_each_other(lab: ScriptLab) -> None:
    other = HOURLY._replace(name="mail:7")
    lab.enqueue("a", "b", limit=HOURLY)
    lab.enqueue("c", limit=other)
    assert lab.admit_now(NAME) == 2
    assert lab.claim().ids == ["a", "c"]
    assert lab.dump()["waiting"] == {member("b", 2): 0}


def test_many_limits_in_bounded_steps(lab: ScriptLab) -> None:
    for number in range(25):
        lab.enqueue(f"m{number}", limit=HOURLY._replace(name=f"mail:{number}"))
    admission, _ = lab.admit(most=10)
    assert len(admission.asks) == 10
    assert admission.next_us == 0
    assert lab.admit_now(NAME) == 15
    lab.admit(*lab.take(*admission.asks), names=[NAME])
    assert len(lab.claim(count=100).ids) == 25


def test_an_ask_without_an_answer_is_asked_again_and_late_answers_count_once(lab: ScriptLab) -> None:
    lab.enqueue("a", "b", limit=Limit("mail", 50_000, 6))
    [first] = lab.admit()[0].asks
    deadline = time.monotonic() + DEADLINE_S
    while not (asks := lab.admit()[0].asks):
        assert time.monotonic() < deadline
    assert asks == [first._replace(number=2)]
    assert lab.admit(TokenGrant("mail", 1, 1, 0), names=[NAME])[0].admitted == 1, "a token is a token"
    assert lab.admit(TokenGrant("mail", 2, 1, 0), names=[NAME])[0].admitted == 1
    assert lab.admit(TokenGrant("mail", 1, 1, 0), names=[NAME])[0].admitted == 0


def test_when_all_is_done_nothing_is_left(lab: ScriptLab) -> None:
    lab.enqueue("a", limit=QUICK)
    lab.admit_now(NAME)
    lab.claim_one()
    deadline = time.monotonic() + DEADLINE_S
    while {"limits", "asking", "waiting", "limiter:mail (expires)"} & set(lab.dump()):
        assert time.monotonic() < deadline
        lab.admit()


def test_those_removed_by_hand_are_passed_over(lab: ScriptLab) -> None:
    lab.enqueue("a", "b", limit=HOURLY)
    lab.client.hdel(lab.keys.messages, "a")
    lab.client.hdel(lab.keys.state, "a")
    assert lab.admit_now(NAME) == 1
    assert lab.claim().ids == ["b"]
    assert "waiting" not in lab.dump()


def test_an_admitted_one_that_vanished_does_not_block_the_others(lab: ScriptLab) -> None:
    lab.enqueue("a", "b", limit=QUICK)
    lab.admit_now(NAME)
    lab.client.hdel(lab.keys.messages, "a")
    lab.client.hdel(lab.keys.state, "a")
    deadline = time.monotonic() + DEADLINE_S
    while lab.admit_now(NAME) == 0:
        assert time.monotonic() < deadline
        lab.client.zadd(lab.keys.asking, {"mail": 1}, xx=True)  # its next look
    assert lab.claim().ids == ["b"]


def test_those_that_expired_need_no_token(lab: ScriptLab) -> None:
    long_ago = lab.server_ms() - 2000
    lab.enqueue("a", "b", limit=HOURLY, expires_ms=long_ago)
    lab.enqueue("c", limit=HOURLY, expires_ms=long_ago + 3_600_000)
    lab.enqueue("d", limit=HOURLY)
    assert lab.admit_now(NAME) == 1
    assert lab.claim().ids == ["a", "b", "c"]
    found = lab.dump()
    assert found["waiting"] == {member("d", 4): 0}
    assert [word for word in found["state"]["a"].split() if "=" in word] == []
    assert found["limits"]["mail"].split()[6:] == []


def test_an_expiry_from_now_counts_by_the_servers_clock(lab: ScriptLab) -> None:
    lab.enqueue("a", limit=HOURLY, expires_in_ms=60_000)
    [mark] = [word for word in lab.dump()["state"]["a"].split() if word.startswith("e=")]
    assert mark == f"e={lab.now + 60_000}"


def test_lost_numbers_come_back_from_those_who_wait(lab: ScriptLab) -> None:
    lab.enqueue("a", limit=HOURLY)
    lab.client.delete(lab.keys.limits)
    assert lab.admit_now(NAME) == 1


def test_a_new_rate_counts_for_those_who_wait_already(lab: ScriptLab) -> None:
    lab.enqueue("a", "b", limit=HOURLY)
    lab.admit_now(NAME)
    lab.claim_one()
    assert lab.admit_now(NAME) == 0
    with lab.listen(lab.keys.control) as listener:
        lab.enqueue("c", limit=QUICK)
        assert listener.heard() == ["limit"]
    deadline = time.monotonic() + DEADLINE_S
    while lab.admit_now(NAME) == 0:
        assert time.monotonic() < deadline
    assert lab.claim(seq=2).ids == ["b"]


def test_tokens_that_were_used_late_do_not_make_a_burst(lab: ScriptLab) -> None:
    """The limiter counts tokens, the shard starts: it asks for no more than its own count allows."""
    limit = Limit("mail", 3_600_000_000, 3)
    lab.enqueue(*(f"m{number}" for number in range(6)), limit=limit)
    assert lab.admit_now(NAME) == 2
    lab.client.delete(lab.keys.limiter("mail"))  # hours later it has all of its tokens again
    assert len(lab.claim(count=100).ids) == 2
    assert lab.admit_now(NAME) == 1
    assert len(lab.claim(seq=2, count=100).ids) == 1
    assert lab.admit_now(NAME) == 0, "three have just started"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    burst=st.integers(1, 3),
    steps=st.lists(st.tuples(st.sampled_from(["admit", "admit", "claim", "back"]), st.integers(0, 8)), min_size=20),
)
def test_claims_keep_the_rate_however_late_they_come(lab: ScriptLab, burst: int, steps: list[tuple[str, int]]) -> None:
    """Starts count from their claims: admitted messages that lie in their stream do not pile up to a burst."""
    lab.client.flushall()
    interval_us, slack_us = 12_000, 2400
    lab.enqueue(*(f"m{number}" for number in range(60)), limit=Limit("mail", interval_us, burst))
    claims: list[tuple[int, int, int]] = []  # not before, not after, how many
    handed_back: list[int] = []

    def us() -> int:
        seconds, micros = lab.client.time()
        return int(seconds) * 1_000_000 + int(micros)

    for number, (what, pause_ms) in enumerate(steps):
        time.sleep(pause_ms / 1000)
        if what == "admit":
            lab.admit_now(NAME)
            continue
        before = us()
        claimed = lab.claim(seq=number + 1, count=100).claimed
        if what == "back":
            lab.hand_back(*claimed)
            handed_back.append(len(claimed))
        elif claimed:
            claims.append((before, us(), len(claimed)))
    most = max(burst, 20_000 // interval_us) + bool(handed_back)
    for first in range(len(claims)):
        started = 0
        for _, after, count in claims[first:]:
            started += count
            assert started <= most + (after - claims[first][0] + slack_us) / interval_us
