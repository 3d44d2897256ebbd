"""Count our Python functions that run until a call reaches the socket."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import streamtasks
import streamtasks_django
import streamtasks_lua
import streamtasks_workers

_ROOTS = tuple(
    str(Path(package.__file__ or "").parent) + "/"
    for package in (streamtasks, streamtasks_django, streamtasks_lua, streamtasks_workers)
)


def calls_until_send(call: Callable[[], Any]) -> list[tuple[str, str]]:
    """Return (file, function) of every function of our packages that runs before the first byte is sent."""
    found: list[tuple[str, str]] = []
    sent = False

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal sent
        if event == "call" and not sent and frame.f_code.co_filename.startswith(_ROOTS):
            found.append((frame.f_code.co_filename, frame.f_code.co_name))
        elif event == "c_call" and getattr(argument, "__name__", "") == "sendall":
            sent = True

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(before)
    assert sent, "nothing was sent"
    return found
