"""pause, claim and resume_task: messages of a paused task wait aside and keep their places."""

from __future__ import annotations

from typing import Any

from streamtasks.protocol.message import Message
from streamtasks.stores.redis.operations.steering import pause_call, resume_task_call
from streamtasks.stores.types import Limit
from tests.support.script_lab import ScriptLab
from tests.support.server_dump import Stream

NAME = "0:default"
NOTE = '["ann",""]'
AGAIN = 4


def enqueue(lab: ScriptLab, *ids: str, task: str = "mail", **options: Any) -> None:
    for task_id in ids:
        lab.enqueue(task_id, body=Message(id=task_id, task=task).encode(1000), **options)


def pause(lab: ScriptLab, task: str = "mail") -> list[int]:
    reply: list[int] = lab.raw(pause_call(lab.keys, f"task:{task}", NOTE))
    return reply


def resume(lab: ScriptLab, *names: str, task: str = "mail") -> list[Any]:
    was, missing, more = lab.raw(resume_task_call(lab.keys, task, names))
    return [was, [name.decode() for name in missing], more]


def test_messages_are_set_aside_and_come_back(lab: ScriptLab) -> None:
    enqueue(lab, "a", "c")
    enqueue(lab, "b", task="chart")
    assert pause(lab) == [1, 0]
    assert lab.claim().ids == ["b"]
    aside = lab.dump()
    assert aside["q:0:default"] == Stream(["a", "c", "b"], {"a": "paused:mail", "c": "paused:mail", "b": "w"})
    assert aside["paused"] == {"task:mail": 1}
    assert aside["pause_notes"] == {"task:mail": f"{lab.dump()['pause_notes']['task:mail'].split()[0]} {NOTE}"}
    assert aside["set_aside"] == {"mail\0" + NAME: 0}
    assert "ready" not in aside
    assert set(aside["state"]) == {"b"}
    assert pause(lab) == [0, 0]
    assert lab.dump() == aside
    # Its stream is missing; nothing more is set aside from now on.
    assert resume(lab) == [1, [NAME], 0]
    assert lab.dump() == {**aside, "paused": {"task:mail": 2}}
    assert resume(lab, NAME) == [1, [], 0]
    back = lab.dump()
    assert back["q:0:default"] == Stream(["a", "c", "b"], {"a": "returned", "c": "returned", "b": "w"})
    assert back["ready"] == {NAME: 0}
    assert set(back) - set(aside) == {"ready"}
    assert set(aside) - set(back) == {"paused", "pause_notes", "set_aside"}
    assert resume(lab, NAME) == [0, [], 0]
    assert lab.dump() == back
    assert lab.claim("v").ids == ["a", "c"]


def test_a_pause_that_is_being_resumed_can_be_asked_for_again(lab: ScriptLab) -> None:
    enqueue(lab, "a")
    pause(lab)
    lab.claim()
    resume(lab)
    assert pause(lab) == [0, 0]
    assert lab.dump()["paused"] == {"task:mail": 1}


def test_many_are_passed_over_in_few_claims_and_let_go_in_few_calls(lab: ScriptLab) -> None:
    enqueue(lab, *(f"m{n}" for n in range(210)))
    enqueue(lab, "b", task="chart")
    pause(lab)
    first, second = (lab.claim("w", sequence, count=1) for sequence in (1, 2))
    assert (first.ids, first.flags) == ([], AGAIN)
    assert second.ids == ["b"]
    assert resume(lab, NAME) == [1, [], 1]
    assert lab.client.zscore(lab.keys.paused, "task:mail") == 2
    assert resume(lab, NAME) == [1, [], 1]
    assert resume(lab, NAME) == [1, [], 0]
    found = [lab.claim("v", sequence, count=100).ids for sequence in (1, 2, 3)]
    assert [*found[0], *found[1], *found[2]] == [f"m{n}" for n in range(210)]


def test_a_suspect_and_a_limited_one(lab: ScriptLab) -> None:
    enqueue(lab, "s")
    [held] = lab.claim("w", 1).claimed
    lab.hand_back(held, alone=[held.id])
    enqueue(lab, "l", limit=Limit("mail", 3_600_000_000))
    lab.admit_now(NAME)
    pause(lab)
    assert lab.claim("w", 2).ids == []
    aside = lab.dump()
    assert aside["q:0:default"] == Stream(["s", "l"], {"s": "paused:mail", "l": "paused:mail"})
    assert aside["limits"]["mail"].split()[6:] == []  # nobody is out with its token
    lines = {task_id: line.split()[1] for task_id, line in aside["state"].items()}
    assert lines == {"s": "S", "l": "Q"}
    assert resume(lab, NAME) == [1, [], 0]
    back = lab.dump()
    assert back["q:0:default"] == Stream(["s"], {"s": "suspect"})
    assert [member.split("\0")[0::3] for member in back["waiting"]] == [["mail", "l"]]
    assert lab.claim("w", 3).flags == 8


def test_what_was_revoked_meanwhile_leaves_its_stream(lab: ScriptLab) -> None:
    enqueue(lab, "a", "b", hears="0")
    pause(lab)
    lab.claim()
    lab.revoke("a", NAME)
    assert resume(lab, NAME) == [1, [], 0]
    assert lab.dump()["q:0:default"] == Stream(["b"], {"b": "returned"})
