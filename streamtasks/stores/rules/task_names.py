"""Names of tasks as a store without keys and libraries finds them in messages (include/task_of.lua)."""

from __future__ import annotations

import re
from typing import Final

from ..steering_types import can_pause

__all__ = ["pausable_task", "task_of"]

_SIGNED: Final = b"S1"
_SIGNED_AT: Final = 38
_JSON: Final = re.compile(rb'~?\{"v":(?:2|1,"id":"[^"]*"),"t":"([^"]*)"')
_PACKED: Final = re.compile(rb"M[^\xa1]*\xa1v(?:\x02|(\x01\xa2id))")


def task_of(body: bytes) -> str:
    """Return the name of a message's task; empty: the envelope is compressed, encrypted, pickled, or none of ours."""
    return _task_in(body[body.find(b" ") + 1 :])


def pausable_task(envelope: bytes) -> str:
    """Return the name of the task in an envelope; empty: it cannot be paused by that, see `can_pause`."""
    name = _task_in(envelope)
    return name if can_pause(name) else ""


def _task_in(envelope: bytes) -> str:
    if envelope.startswith(_SIGNED):
        envelope = envelope[_SIGNED_AT:]
    if found := _JSON.match(envelope):
        return found[1].decode("utf-8", "replace")
    if packed := _PACKED.match(envelope):
        end = packed.end()
        if packed[1]:  # version 1: the id comes first
            _, end = _packed_text(envelope, end)
        if end and envelope[end : end + 2] == b"\xa1t":
            return _packed_text(envelope, end + 2)[0]
    return ""


def _packed_text(data: bytes, at: int) -> tuple[str, int]:
    """Return the text of msgpack that begins there, and where it ends; 0: there is none."""
    head = data[at] if at < len(data) - 1 else 0
    if 0xA0 <= head <= 0xBF:
        size, at = head - 0xA0, at + 1
    elif head == 0xD9:
        size, at = data[at + 1], at + 2
    else:
        return "", 0
    return data[at : at + size].decode("utf-8", "replace"), at + size
