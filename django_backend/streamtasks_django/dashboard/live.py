"""The live parts of pages: what is kept up to date in open ones, made once for all who may see the same.

A page is named by its address and the roles of who looks. Under ASGI it is streamed (see `live_stream`). Under WSGI,
where a stream would hold a thread, pages ask now and then; answers are shared for a second.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from html import unescape
from typing import Final

from django.http import HttpResponse

from streamtasks.exceptions import StreamTasksError
from streamtasks.protocol.json import dumps

__all__ = ["MARK", "PART", "Key", "Make", "answers", "payload_of", "polled"]

MARK: Final = "<!--live {name}-->"
"""What stands before and, with a stroke, behind the inside of a live part; escaped text cannot be one."""

PART: Final = re.compile(rb"<!--live ([\w-]+)-->(.*?)<!--live /\1-->", re.DOTALL)

POLL_S: Final = 1.0
"""An answer to who polls is shared for so long, s."""

_MOST_POLLED: Final = 64
_TITLE: Final = re.compile(rb"<title>(.*?)</title>", re.DOTALL)

type Key = tuple[str, str, frozenset[str]]
"""A page: an alias, an address with its query, and roles."""

type Make = Callable[[], HttpResponse]
"""Makes a page."""


def payload_of(make: Make) -> bytes:
    """Return the live parts of a page as JSON, or why there are none."""
    try:
        content = make().content
    except StreamTasksError as error:
        return dumps({"problem": str(error.args[0] if error.args else error)})
    title = _TITLE.search(content)
    # A form has the token of one visitor: it is nobody else's.
    found = {name: text for name, text in PART.findall(content) if b"csrfmiddlewaretoken" not in text}
    return dumps(
        {
            "title": unescape(title[1].decode()) if title else "",
            "parts": {name.decode(): text.decode() for name, text in found.items()},
        }
    )


@dataclass(slots=True)
class _Answer:
    lock: threading.Lock = field(default_factory=threading.Lock)
    payload: bytes = b""
    at: float = float("-inf")


answers: dict[Key, _Answer] = {}
"""The last answers to who polls."""

_lock = threading.Lock()


def polled(key: Key, make: Make) -> HttpResponse:
    """Answer with the live parts of a page, at most a second old."""
    with _lock:
        answer = answers.pop(key, None) or _Answer()
        answers[key] = answer  # the last that was asked for is the last to go
        while len(answers) > _MOST_POLLED:
            del answers[next(iter(answers))]
    with answer.lock:
        if time.monotonic() - answer.at > POLL_S:
            answer.payload, answer.at = payload_of(make), time.monotonic()
        return HttpResponse(answer.payload, content_type="application/json")
