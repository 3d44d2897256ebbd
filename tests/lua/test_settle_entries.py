"""settle: the entries of many messages go from their stream at once, and no other entry goes with them."""

from __future__ import annotations

import pytest

from streamtasks.stores.types import Claimed
from tests.support.script_lab import ScriptLab, outcome
from tests.support.users import script_user

OLD = [f"old{number}" for number in range(10)]
NEW = [f"new{number}" for number in range(10)]


def in_stream(lab: ScriptLab) -> list[str]:
    """The ids of the entries of the stream, in their order."""
    return [fields[b"id"].decode() for _, fields in lab.client.xrange(lab.keys.stream("0:default"))]


def calls_of(lab: ScriptLab, command: str) -> int:
    """How often the server has run a command."""
    return int(lab.client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"])


def settled(lab: ScriptLab, claimed: list[Claimed]) -> tuple[int, int]:
    """Settle successes; return how often entries were trimmed, and deleted one by one."""
    before = calls_of(lab, "xtrim"), calls_of(lab, "xdel")
    assert lab.settle(*map(outcome, claimed)) == [1] * len(claimed)
    return calls_of(lab, "xtrim") - before[0], calls_of(lab, "xdel") - before[1]


@pytest.fixture
def claims(lab: ScriptLab) -> tuple[list[Claimed], list[Claimed]]:
    """Two claims of ten each, the old ones by one child and the new ones by another; `last` is still queued."""
    lab.enqueue(*OLD)
    lab.enqueue(*NEW)
    lab.enqueue("last")
    return lab.claim("v", count=10).claimed, lab.claim("w", count=10).claimed


type Claims = tuple[list[Claimed], list[Claimed]]


def test_the_oldest_are_trimmed_and_what_comes_behind_them_stays(lab: ScriptLab, claims: Claims) -> None:
    old, new = claims
    assert settled(lab, old) == (1, 0)
    assert in_stream(lab) == [*NEW, "last"]
    assert settled(lab, new) == (1, 0)
    assert in_stream(lab) == ["last"]
    assert [one.id for one in lab.claim("w", 2).claimed] == ["last"]


def test_what_another_child_holds_before_them_stays(lab: ScriptLab, claims: Claims) -> None:
    old, new = claims
    assert settled(lab, new) == (0, 1)
    assert in_stream(lab) == [*OLD, "last"]
    assert settled(lab, [*old[5:], *old[:5]]) == (1, 1)  # the last one named is not the highest
    assert in_stream(lab) == ["last"]


def test_what_a_new_group_has_not_delivered_again_stays(lab: ScriptLab, claims: Claims) -> None:
    stream = lab.keys.stream("0:default")
    lab.client.xgroup_destroy(stream, "workers")
    lab.client.xgroup_create(stream, "workers", "0")
    assert settled(lab, claims[1]) == (0, 1)
    assert in_stream(lab) == [*OLD, "last"]


def test_a_few_are_deleted_one_by_one(lab: ScriptLab, claims: Claims) -> None:
    assert settled(lab, claims[0][:7]) == (0, 1)
    assert in_stream(lab) == [*OLD[7:], *NEW, "last"]


def test_a_user_who_may_not_trim_deletes_them(lab: ScriptLab, claims: Claims) -> None:
    lab.client.execute_command("ACL", "SETUSER", script_user(), "-xtrim")
    try:
        assert settled(lab, claims[0]) == (0, 1)
    finally:
        lab.client.execute_command("ACL", "SETUSER", script_user(), "+xtrim")
    assert in_stream(lab) == [*NEW, "last"]
