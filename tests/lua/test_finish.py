"""Whatever ends a message, the same is written: record, index, counts, event, and all that waits for it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streamtasks import StoreSettings
from tests.support.script_lab import outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.script_lab import ScriptLab

NAME = "0:default"
GONE = 1


def settled(state: str) -> Callable[[ScriptLab], str]:
    def end(lab: ScriptLab) -> str:
        lab.settle(outcome(lab.claim_one(), state), callbacks="all")
        return state

    return end


def revoked_while_it_waits(lab: ScriptLab) -> str:
    assert lab.revoke("a", NAME) == [GONE, ""]
    return "REVOKED"


def revoked_while_it_is_delayed(lab: ScriptLab) -> str:
    claimed = lab.claim_one()
    lab.settle(outcome(claimed, "RETRY", delay_ms=60_000))
    assert lab.revoke("a", NAME) == [GONE, ""]
    return "REVOKED"


def revoked_while_it_is_held(lab: ScriptLab) -> str:
    claimed = lab.claim_one()
    lab.revoke("a")
    lab.settle(outcome(claimed), callbacks="revoked")
    return "REVOKED"


def enqueue_revoked(lab: ScriptLab) -> None:
    """Start anew with a message that was revoked before it was enqueued, and one that waits for it."""
    lab.client.delete(lab.keys.messages, lab.keys.links, lab.keys.state, lab.stream())
    lab.client.delete(lab.keys.events)
    lab.revoke("a")
    assert lab.enqueue("a") == [2]
    lab.client.hset(lab.keys.links, "a", "child")
    lab.client.hset(lab.keys.messages, "child", "1 {}")
    lab.client.hset(lab.keys.state, "child", f"- B {NAME} - 0 0 0 0 0 - a=a")


def revoked_before_it_came(lab: ScriptLab) -> str:
    enqueue_revoked(lab)
    assert lab.revoke("a", NAME) == [GONE, ""]
    return "REVOKED"


def revoked_before_it_came_and_settled_by_a_child(lab: ScriptLab) -> str:
    enqueue_revoked(lab)
    [claimed] = lab.claim().claimed
    lab.settle(outcome(claimed, "REVOKED", started=0), callbacks="all")
    return "REVOKED"


def given_up(lab: ScriptLab) -> str:
    lab.settle(outcome(lab.claim_one(), "DEAD", note="crashes"), callbacks="all")
    return "DEAD"


@pytest.mark.parametrize(
    "end",
    [
        settled("SUCCESS"),
        settled("FAILURE"),
        settled("IGNORED"),
        settled("EXPIRED"),
        given_up,
        revoked_while_it_waits,
        revoked_while_it_is_delayed,
        revoked_while_it_is_held,
        revoked_before_it_came,
        revoked_before_it_came_and_settled_by_a_child,
    ],
    ids=lambda end: getattr(end, "__name__", "end"),
)
def test_what_an_end_writes(lab: ScriptLab, end: Callable[[ScriptLab], str]) -> None:
    lab.settings = StoreSettings(send_events=True, failure_expires_s=900)
    lab.enqueue("a")
    lab.enqueue("child", after="a")
    with lab.listen(lab.keys.done_channel("a")) as done:
        state = end(lab)
        assert done.heard().count("a") == 1
    found = lab.dump()
    hour, minute = lab.now // 3_600_000, lab.now // 60_000 % 60
    assert lab.record("a").state == state
    assert found[f"finished:{hour}:3 (expires)"] == [{f"{state} {NAME}": "a"}]
    assert found[f"counts:{hour} (expires)"][f"{minute} default {state}"] == "1"
    assert found["totals"][state] == "1"
    events = [(words[1], *words[2:]) for _, words in lab.events()]
    assert events.count(("settled", "a", state)) == 1
    callbacks = [task_id for task_id in found["messages"] if task_id.startswith("cb.")]
    assert len(callbacks) == 1
    assert set(found["messages"]) == {"child", *callbacks}
    assert "history" not in found
    assert "links" not in found
    assert set(found["delayed"]) == {"child"}
    reason = "" if state in ("SUCCESS", "IGNORED") else " x=parent:a"
    assert lab.line("child") == f"- D {NAME} - 0 0 0 0 0 -{reason}"
