"""Arguments that are changed by hand before a call is enqueued again: as JSON, integers of any size exact."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from streamtasks.exceptions import InvalidTask
from streamtasks.protocol.message import Message

from ..access import SEE_ARGUMENTS, Visit
from ..redaction import is_redacting

__all__ = ["MOST", "Edit", "editable", "edited", "may_edit", "read_json"]

MOST: Final = 100_000
"""Longer arguments, in characters of JSON, cannot be changed in a page."""


class Edit(NamedTuple):
    """A form with the arguments of a call: where it is sent, hidden fields, and the arguments as JSON."""

    address: str
    fields: Mapping[str, str]
    args: str
    kwargs: str


def editable(visit: Visit, message: Message, address: str, fields: Mapping[str, str]) -> Edit | None:
    """Return the form for a call; None: its arguments cannot be seen or changed by who asks."""
    if not may_edit(visit):
        return None
    try:
        args, kwargs = (
            json.dumps(value, indent=1, ensure_ascii=False) for value in (list(message.args), dict(message.kwargs))
        )
    except (TypeError, ValueError):  # pickled ones may be anything
        return None
    return Edit(address, fields, args, kwargs) if len(args) + len(kwargs) <= MOST else None


def edited(visit: Visit) -> dict[str, Any]:
    """Return the arguments that the form has sent; empty: nothing is changed.

    Raises:
        InvalidTask: they are no JSON, or who sends them may not see those that they replace.
    """
    given = visit.request.POST
    if given.get("edited") != "1":
        return {}
    if not may_edit(visit):
        raise InvalidTask("Arguments that you may not see cannot be changed; enqueue it as it is.")
    return {"args": read_json(given.get("args", ""), list), "kwargs": read_json(given.get("kwargs", ""), dict)}


def may_edit(visit: Visit) -> bool:
    """Return whether who asks may change arguments: those that are seen whole."""
    return SEE_ARGUMENTS in visit.roles and not is_redacting()


def read_json(text: str, kind: type) -> Any:
    """Return what a field of a form holds, integers exact.

    Raises:
        InvalidTask: it is no JSON, or no value of this kind.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidTask(f"{text[:80]!r} is not JSON: {error}.") from error
    if not isinstance(value, kind):
        raise InvalidTask(f"{text[:80]!r} is not {'a list' if kind is list else 'an object with names'}.")
    return value
