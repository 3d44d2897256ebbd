"""The stacks of a running task, asked of its worker: where its threads and coroutines are, without any values."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any, Final, NamedTuple

from ..protocol.keys import check_id
from ..stores.base import Store

__all__ = ["Frame", "Stack", "StackAnswer", "stacks"]

LOOK_S: Final = 0.05

AGAIN_S: Final = 1.0
"""A question is asked again after this time, seconds, for the first may have been lost."""


class Frame(NamedTuple):
    """A call: the file, the line that runs, and the function."""

    file: str
    line: int
    function: str


class Stack(NamedTuple):
    """A thread or coroutine; the outermost call first.

    ``name``: ``"thread <name>"`` or ``"coroutine <name>"``.
    """

    name: str
    frames: list[Frame]


class StackAnswer(NamedTuple):
    """What a worker has answered. ``problem``: why there is nothing, or not all; empty: nothing was left out."""

    stacks: list[Stack]
    problem: str


def stacks(store: Store, task_id: str, timeout_s: float = 5.0) -> StackAnswer | None:
    """Ask for the stacks of a running task; None: no attempt of it is known to run.

    The task goes on meanwhile. An attempt is known to run some 20 ms after its start.

    Args:
        store: where it is.
        task_id: which task.
        timeout_s: how long the answer is waited for, seconds.

    Raises:
        InvalidTask: it cannot be an id.
        ServerNotSupported: no worker of this store can be asked.
    """
    check_id(task_id)
    nonce, began, asked_at = secrets.token_hex(8), time.monotonic(), 0.0
    while (now := time.monotonic()) - began < timeout_s:
        ask = now - asked_at >= AGAIN_S
        answer = store.stack(task_id, nonce, ask=ask)
        if answer is None:
            return None
        if answer:
            return _read(json.loads(answer))
        asked_at = now if ask else asked_at
        time.sleep(LOOK_S)
    return StackAnswer([], f"no worker has answered within {timeout_s:g} s")


def _read(answer: dict[str, Any]) -> StackAnswer:
    found = [Stack(one["name"], [Frame(*frame) for frame in one["frames"]]) for one in answer.get("stacks", ())]
    if answer.get("silent"):
        problem = str(answer["silent"])
    elif answer.get("error"):
        problem = f"the stacks could not be read: {answer['error']}"
    elif answer.get("more"):
        problem = "there are more than are shown"
    else:
        problem = "" if found else "it has just ended"
    return StackAnswer(found, problem)
