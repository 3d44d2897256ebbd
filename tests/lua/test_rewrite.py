"""rewrite: what runs changes its headers, if it still holds its message."""

from __future__ import annotations

from streamtasks.stores.redis.operations.rewrite import rewrite_call
from streamtasks.stores.types import Claimed
from tests.support.script_lab import ScriptLab, outcome


def rewrite(lab: ScriptLab, claimed: Claimed, envelope: bytes) -> list[int]:
    codes: list[int] = lab.run(rewrite_call(lab.keys, claimed, envelope))
    return codes


def test_the_envelope_is_replaced_and_nothing_else(lab: ScriptLab) -> None:
    lab.enqueue("a")
    claimed = lab.claim_one()
    before = lab.dump()
    time = before["messages"]["a"].partition(" ")[0]
    assert rewrite(lab, claimed, b'{"h":{"n":1}}') == [1]
    assert rewrite(lab, claimed, b'{"h":{"n":1}}') == [1]
    before["messages"]["a"] = time + ' {"h":{"n":1}}'
    assert lab.dump() == before


def test_others_and_finished_attempts_are_refused(lab: ScriptLab) -> None:
    lab.enqueue("a", "b")
    a, b = lab.claim().claimed
    lab.settle(outcome(a, started=5))
    before = lab.dump()
    assert rewrite(lab, a, b"{}") == [0]
    assert rewrite(lab, b._replace(token="v#1"), b"{}") == [0]
    assert rewrite(lab, b._replace(id="c"), b"{}") == [0]
    assert lab.dump() == before
