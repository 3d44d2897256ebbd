"""Callback messages: written by a script of the server, which has no key, so never signed or encrypted.

All that one holds is the id of a task, and perhaps the number of an attempt; its own id is made of them. So it can be
checked without a signature: a forged one only calls hooks of a finished task again, with its own signed record.
"""

from __future__ import annotations

import re
from hashlib import sha1
from typing import Any, Final

from ..exceptions import DecodeError
from .json import loads
from .seals import MESSAGE, unsigned

__all__ = ["CALLBACK", "callback_id", "is_callback", "read_callback"]

CALLBACK: Final = "streamtasks.callback"
"""The task of callback messages; every worker has it."""

_ID: Final = re.compile(r"cb\.[0-9a-f]{40}")
_EMPTY: Final = {"v": 1, "k": {}, "t": CALLBACK}
_KEYS: Final = frozenset(("v", "id", "t", "a", "k", "q", "p"))


def is_callback(task_id: str) -> bool:
    """Return whether this is the id of a callback message."""
    return task_id.startswith("cb.") and _ID.fullmatch(task_id) is not None


def callback_id(task_id: str, attempt: int = 0) -> str:
    """Return the id of the callback message of a task's end, or of an attempt after which it runs again."""
    what = f"{task_id} {attempt}" if attempt else task_id
    return "cb." + sha1(what.encode(), usedforsecurity=False).hexdigest()


def read_callback(data: bytes, task_id: str) -> dict[str, Any]:
    """Read the envelope of a callback message.

    Raises:
        NotAuthentic: it is another message, which has to be signed.
    """
    body: dict[str, Any]
    try:
        body = loads(data)
    except DecodeError:
        raise unsigned(MESSAGE, task_id) from None
    args = body.get("a") if type(body) is dict and body.keys() == _KEYS else None
    if (
        type(args) is not list
        or not 1 <= len(args) <= 2
        or type(args[0]) is not str
        or any(type(attempt) is not int or attempt < 1 for attempt in args[1:])
        or {name: body[name] for name in _EMPTY} != _EMPTY
        or not body["id"] == callback_id(*args) == task_id
    ):
        raise unsigned(MESSAGE, task_id)
    return body
