"""Small workflows on one shard, staged and started by hand."""

from __future__ import annotations

from typing import Any

from streamtasks.stores.redis.operations.workflows import stage_call, unfold_call
from streamtasks.stores.types import NewMessage
from streamtasks.stores.workflow_types import FanIn, NewWorkflow, Node
from tests.support.script_lab import ScriptLab
from tests.support.server_dump import text

ID = "wf"
STAGED, LIVE, GONE = 1, 2, 0


def node(number: int, then: str = "-", waits_for: str = "", **more: Any) -> Node:
    return Node(NewMessage(f"{ID}.w{number}", "default", 0, b"{}", **more), waits_for, then)


def chord(**policy: Any) -> NewWorkflow:
    """Two members and a body."""
    joins = [FanIn(2, policy.pop("need", 2), first=2, last=2, **policy)]
    return NewWorkflow(ID, [node(0, "g0.0"), node(1, "g0.1"), node(2, "-", ID)], 2, joins, b'{"plan":1}')


def pair() -> NewWorkflow:
    """A chain of two."""
    return NewWorkflow(ID, [node(0, "1-1"), node(1, "-", f"{ID}.w0")], 1, (), b"{}")


def stage(lab: ScriptLab, new: NewWorkflow, nodes: Any = None, *, first: bool = True) -> int:
    some = new.nodes if nodes is None else nodes
    reply = lab.run(stage_call(lab.keys, new, some, list(enumerate(new.fan_ins)), new.known_results, first=first))
    code: int = reply[1]
    return code


def unfold(lab: ScriptLab, verb: str = "go", whom: str = "", names: tuple[str, ...] = ("0:default",)) -> list[Any]:
    """Return (code, more, whom)."""
    reply: list[Any] = lab.run(unfold_call(lab.keys, ID, names, lab.settings, verb, whom))[1:]
    return reply


def start(lab: ScriptLab, new: NewWorkflow) -> None:
    assert stage(lab, new) == STAGED
    assert unfold(lab, "live") == [LIVE, 0, ""]


def fields(lab: ScriptLab) -> dict[str, str]:
    """The stored state of the workflow."""
    return {text(name): text(value) for name, value in lab.client.hgetall(lab.keys.workflow(ID)).items()}


def idle(then: str, more: str = "") -> str:
    return f"- Q 0:default - 0 0 0 0 0 - w={then}{more}"


def blocked(then: str, waits_for: str = "") -> str:
    return f"- B 0:default - 0 0 0 0 0 - w={then}" + (f" a={waits_for}" if waits_for else "")
