"""Callback messages are sent only for ends that something hears of, as far as the producer or a worker knows."""

from __future__ import annotations

from typing import Any

import pytest

from streamtasks.protocol.heard import EVERYTHING, FAILURES, NOTHING
from streamtasks.protocol.message import split_body
from streamtasks.stores.types import Limit, NewMessage
from streamtasks.stores.workflow_types import NewWorkflow
from tests.lua.test_revoke import NAME, callback_of
from tests.support.script_lab import ScriptLab, outcome
from tests.support.workflow_scripts import ID, node, start

LISTENS_MS = 60_000


def accept(lab: ScriptLab, hears: str, **conditions: Any) -> None:
    assert lab.enqueue("a", hears=hears, **conditions) == [1]


def is_called_back(lab: ScriptLab) -> bool:
    return callback_of("a") in lab.dump().get("messages", {})


@pytest.mark.parametrize(("hears", "is_heard"), [(EVERYTHING, True), (FAILURES, False), (NOTHING, False)])
class TestRevoked:
    def test_while_it_waits(self, lab: ScriptLab, hears: str, is_heard: bool) -> None:
        accept(lab, hears)
        lab.revoke("a", NAME)
        assert is_called_back(lab) is is_heard

    @pytest.mark.parametrize("how", ["delayed", "limited", "blocked"])
    def test_with_conditions(self, lab: ScriptLab, hears: str, is_heard: bool, how: str) -> None:
        lab.enqueue("parent")
        more: dict[str, dict[str, Any]] = {
            "delayed": {"delay_ms": 60_000},
            "limited": {"limit": Limit("x", 1)},
            "blocked": {"after": "parent"},
        }
        accept(lab, hears, **more[how])
        lab.revoke("a", NAME)
        assert is_called_back(lab) is is_heard

    def test_while_it_is_held(self, lab: ScriptLab, hears: str, is_heard: bool) -> None:
        accept(lab, hears)
        claimed = lab.claim_one()
        lab.revoke("a")
        lab.settle(outcome(claimed), callbacks="revoked")
        assert is_called_back(lab) is is_heard

    def test_a_node(self, lab: ScriptLab, hears: str, is_heard: bool) -> None:
        start(lab, NewWorkflow(ID, [node(0, hears=hears)], 1, (), b"{}"))
        lab.revoke(f"{ID}.w0", NAME)
        assert (callback_of(f"{ID}.w0") in lab.dump().get("messages", {})) is is_heard

    def test_a_follow_up(self, lab: ScriptLab, hears: str, is_heard: bool) -> None:
        lab.enqueue("first")
        follow = NewMessage("a", "default", 0, b"{}", hears=hears)
        lab.settle(outcome(lab.claim_one(), follow=(follow,)))
        lab.revoke("a", NAME)
        assert is_called_back(lab) is is_heard

    def test_a_worker_that_listens_hears_of_all(self, lab: ScriptLab, hears: str, is_heard: bool) -> None:
        lab.beat(listens_ms=LISTENS_MS)
        lab.beat("another")  # takes nothing back
        assert LISTENS_MS - 5_000 < lab.client.pttl(lab.keys.listeners) <= LISTENS_MS
        accept(lab, hears)
        lab.revoke("a", NAME)
        assert is_called_back(lab)


@pytest.mark.parametrize("state", ["DEAD", "FAILURE", "RETRY"])
@pytest.mark.parametrize(("hears", "is_heard"), [(EVERYTHING, True), (FAILURES, True), (NOTHING, False)])
def test_ends_that_a_keeper_writes(lab: ScriptLab, hears: str, is_heard: bool, state: str) -> None:
    accept(lab, hears)
    lab.settle(outcome(lab.claim_one(), state), callbacks="all")
    sent = [one for one in lab.dump().get("messages", {}) if one.startswith("cb.")]
    assert bool(sent) is is_heard


@pytest.mark.parametrize("hears", [FAILURES, NOTHING])
def test_older_readers_pass_over_the_mark(lab: ScriptLab, hears: str) -> None:
    accept(lab, hears)
    claimed = lab.claim_one()
    assert split_body(claimed.body) == (lab.now, b"{}") or split_body(claimed.body)[0] <= lab.now
    assert claimed.body.partition(b" ")[0].startswith(b"0")
    lab.settle(outcome(claimed))
    assert lab.record("a").state == "SUCCESS"


@pytest.mark.parametrize("hears", [FAILURES, NOTHING])
def test_a_message_of_which_nothing_is_heard_takes_the_short_way(lab: ScriptLab, hears: str) -> None:
    accept(lab, hears)
    assert "state" not in lab.dump()
