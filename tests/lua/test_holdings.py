"""What consumers hold by the word of the server."""

from __future__ import annotations

from dataclasses import replace

from streamtasks.stores.redis.operations.hand_back import holdings, holdings_call
from streamtasks.stores.redis.shards import Shards
from tests.support.script_lab import ScriptLab, outcome

NAME = "0:default"


def test_what_is_held_and_nothing_else(lab: ScriptLab) -> None:
    lab.enqueue("a", "b", "c", "d")
    a, b = lab.claim("w-1", 1, count=2).claimed
    c = lab.claim_one("w-2", 1)
    before = lab.dump()
    assert lab.run(holdings_call(lab.keys, 0, 1000, ["w-1", "w-3"])) == [-1, "a", a.token, NAME, "b", b.token, NAME]
    assert lab.run(holdings_call(lab.keys, 0, 1000, ["w"])) == [-1]
    lab.settle(outcome(a, "SUCCESS"))
    assert lab.run(holdings_call(lab.keys, 0, 1000, ["w-1", "w-2"]))[1::3] == ["b", "c"]
    lab.revoke("b")
    lab.hand_back(c)
    assert lab.run(holdings_call(lab.keys, 0, 1000, ["w-1", "w-2"])) == [-1, "b", b.token, NAME]
    assert before.keys() <= lab.dump().keys() | {"running"}


def test_many_leases_are_looked_at_in_pages(lab: ScriptLab) -> None:
    lab.enqueue(*"abcde")
    tokens = [lab.claim_one(f"w-{number}", 1).token for number in range(5)]
    assert lab.run(holdings_call(lab.keys, 2, 2, ["w-3", "w-4"])) == [4, "d", tokens[3], NAME]
    assert lab.run(holdings_call(lab.keys, 4, 2, ["w-3", "w-4"])) == [-1, "e", tokens[4], NAME]
    held, rounds = lab.complete(
        holdings(Shards(replace(lab.settings, key_prefix=lab.prefix)), "u0", [f"w-{number}" for number in range(5)])
    )
    assert ([one.token for one in held], rounds) == (tokens, 1)
