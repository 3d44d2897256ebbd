"""sweep: names of consumers that are long gone leave the streams; nothing that is held does."""

from __future__ import annotations

from typing import Any

from streamtasks.protocol.keys import GROUP
from streamtasks.stores.redis.operations.queues import sweep_call
from tests.support.script_lab import ScriptLab, outcome
from tests.support.server_dump import text


def sweep(lab: ScriptLab, *names: str, idle_ms: int = -1, after: str = "", most: int = 16) -> Any:
    """Return (removed, names to sweep next). By default every consumer counts as long silent."""
    removed, retired, found = text(lab.raw(sweep_call(lab.keys, names, idle_ms, 60_000, after, most)))
    assert retired == 0
    return removed, found


def consumers(lab: ScriptLab) -> set[str]:
    return {text(row["name"]) for row in lab.client.xinfo_consumers(lab.stream(), GROUP)}


def test_streams_are_named_in_steps_until_there_are_no_more(lab: ScriptLab) -> None:
    for place in range(5):
        lab.enqueue(f"m{place}", queue=f"q{place}")
    before = lab.dump()
    steps = [sweep(lab, after=after, most=2) for after in ("", "0:q1", "0:q3", "0:q4")]
    assert [removed for removed, _ in steps] == [0] * 4
    assert [len(names) for _, names in steps] == [2, 2, 1, 0]
    assert {name for _, names in steps for name in names} == {f"0:q{place}" for place in range(5)}
    assert lab.dump() == before


def test_consumers_that_hold_nothing_go_and_those_that_do_stay(lab: ScriptLab) -> None:
    lab.enqueue("a", "b")
    lab.settle(outcome(lab.claim_one("done", 1)))
    lab.claim_one("holds", 1)
    lab.claim("empty", 1)
    before = lab.dump()
    assert sweep(lab, "0:default")[0] == 1
    assert consumers(lab) == {"holds"}
    assert lab.dump() == before


def test_returned_and_suspect_messages_stay_where_they_are(lab: ScriptLab) -> None:
    lab.enqueue("r", "s")
    lab.hand_back(lab.claim_one("w", 1))
    lab.claim("w", 2)
    lab.expire_leases("w#2")
    lab.reclaim("0:default")
    lab.claim_one("v", 1)
    before = lab.dump()
    sweep(lab, "0:default")
    assert lab.dump() == before
    assert {"returned", "suspect"} & consumers(lab)


def test_consumers_heard_of_lately_stay(lab: ScriptLab) -> None:
    lab.enqueue("a")
    lab.settle(outcome(lab.claim_one("w", 1)))
    assert sweep(lab, "0:default", idle_ms=60_000)[0] == 0
    assert consumers(lab) == {"w"}


def test_a_swept_consumer_may_claim_again(lab: ScriptLab) -> None:
    lab.enqueue("a")
    lab.settle(outcome(lab.claim_one("w", 1)))
    sweep(lab, "0:default")
    lab.enqueue("b")
    assert lab.claim("w", 2).ids == ["b"]


def test_a_stream_or_group_that_is_gone_is_passed_over(lab: ScriptLab) -> None:
    lab.enqueue("a")
    lab.enqueue("b", queue="mail")
    lab.client.xgroup_destroy(lab.stream(), GROUP)
    assert sweep(lab, "0:default", "0:mail", "0:never")[0] == 0
