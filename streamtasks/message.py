"""The envelope: one enqueued call of a task, and its bytes on the wire.

The bytes are one JSON object with short names, version 1::

    {"v": 1, "id": ..., "t": task, "a": args, "k": kwargs, "q": queue, "p": priority,
     "h": headers, "r": {"max": retries, "delay": s}, "x": expires ms, "d": due ms,
     "l": {"soft": s, "hard": s}, "ok": [signature], "er": [signature], "pa": parent id, "ro": root id,
     "f": what it follows, "in": true if it takes the result of that}

Empty parts are left out. The first byte tells the encoding: `wire` has others than JSON, and compresses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Final

from .codec import dumps
from .exceptions import DecodeError, PayloadTooLarge
from .numbers import is_number
from .signature import are_resolved
from .wire import JSON, MESSAGE, Wire

__all__ = ["MAX_HEADER_BYTES", "VERSION", "Message", "split_body"]

VERSION: Final = 1
MAX_HEADER_BYTES: Final = 16 * 1024

_TYPES: Final = (str, str, list, dict, str)
_NONE_GIVEN: Final[dict[str, Any]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One enqueued call of a task.

    Attributes:
        id: made by the client, at most 64 characters.
        task: the registered name of the task.
        args: positional arguments, JSON values.
        kwargs: keyword arguments, JSON values.
        queue: the queue's name.
        priority: -100 (last) to 100 (first).
        headers: what travels along: trace context, language, users' own columns. JSON, at most 16 KiB.
        max_retries: how often `Retry` may run it again; -1: without end; ``None``: as the task says.
        retry_delay_s: seconds before a retry that names no delay; ``None``: as the task says.
        expires_ms: not to be started after this time, ms since the epoch; 0: never expires.
        due_ms: when it was to start at the earliest, ms since the epoch; 0: at once.
        soft_limit_s, hard_limit_s: time limits of one attempt, seconds; ``None``: as the task says.
        links: signatures (see `Signature.as_dict`) of what runs after it succeeded.
        error_links: signatures of what runs after it finally failed.
        parent_id: the task that enqueued it, or that it follows; empty: none.
        root_id: the first of that line; empty: itself.
        follows: what it comes after in its workflow: "4", the node of that number; "g0", that fan-in; empty: nothing.
        takes: whether the result of that goes before its arguments.
    """

    id: str
    task: str
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    queue: str = "default"
    priority: int = 0
    headers: dict[str, Any] = field(default_factory=dict)
    max_retries: int | None = None
    retry_delay_s: float | None = None
    expires_ms: int = 0
    due_ms: int = 0
    soft_limit_s: float | None = None
    hard_limit_s: float | None = None
    links: list[dict[str, Any]] = field(default_factory=list)
    error_links: list[dict[str, Any]] = field(default_factory=list)
    parent_id: str = ""
    root_id: str = ""
    follows: str = ""
    takes: bool = False

    def encode(self, max_bytes: int, wire: Wire = JSON) -> bytes:
        """Return the bytes of the envelope; ``wire``: how (`StoreSettings.wire`).

        Raises:
            InvalidTask: JSON cannot carry an argument or a header.
            PayloadTooLarge: there are more than ``max_bytes`` of them, or too large headers.
        """
        body: dict[str, Any] = {
            "v": VERSION,
            "id": self.id,
            "t": self.task,
            "a": self.args,
            "k": self.kwargs,
            "q": self.queue,
            "p": self.priority,
        }
        if self.headers:
            if len(dumps(self.headers)) > MAX_HEADER_BYTES:
                raise PayloadTooLarge(f"The headers of task {self.task} take more than {MAX_HEADER_BYTES} bytes.")
            body["h"] = self.headers
        if self.max_retries is not None or self.retry_delay_s is not None:
            body["r"] = {"max": self.max_retries, "delay": self.retry_delay_s}
        if self.soft_limit_s is not None or self.hard_limit_s is not None:
            body["l"] = {"soft": self.soft_limit_s, "hard": self.hard_limit_s}
        more = {
            "x": self.expires_ms,
            "d": self.due_ms,
            "ok": self.links,
            "er": self.error_links,
            "pa": self.parent_id,
            "ro": self.root_id,
            "f": self.follows,
            "in": self.takes,
        }
        body |= {name: value for name, value in more.items() if value}
        data = wire.dumps(body, MESSAGE, self.id)
        if len(data) > max_bytes:
            raise PayloadTooLarge(
                f"A call of task {self.task} takes {len(data)} bytes; max_payload_bytes is {max_bytes}. "
                "Store the data elsewhere and pass its id, or raise the limit."
            )
        return data

    @classmethod
    def decode(cls, data: bytes, wire: Wire = JSON, task_id: str = "") -> Message:
        """Read an envelope; ``task_id``: of the message as which it was stored, for signatures.

        Raises:
            EncodingRefused: this process may not read it.
            EncodingUnavailable: a library that reads it is not installed.
            DecodeError: the bytes are no envelope, or one of a version this release does not know.
        """
        body = wire.loads(data, MESSAGE, task_id)
        if not isinstance(body, dict):
            raise DecodeError(f"not an envelope: {data[:80]!r}")
        if body.get("v") != VERSION:
            raise DecodeError(f"envelope version {body.get('v')!r} is not known to this release (it knows {VERSION})")
        retry, limits = body.get("r") or _NONE_GIVEN, body.get("l") or _NONE_GIVEN
        try:
            message = cls(
                id=body["id"],
                task=body["t"],
                args=body["a"],
                kwargs=body["k"],
                queue=body["q"],
                priority=body["p"],
                headers=body.get("h") or {},
                max_retries=retry.get("max"),
                retry_delay_s=retry.get("delay"),
                expires_ms=body.get("x", 0),
                due_ms=body.get("d", 0),
                soft_limit_s=limits.get("soft"),
                hard_limit_s=limits.get("hard"),
                links=body.get("ok") or [],
                error_links=body.get("er") or [],
                parent_id=body.get("pa", ""),
                root_id=body.get("ro", ""),
                follows=body.get("f", ""),
                takes=body.get("in", False),
            )
        except (KeyError, AttributeError) as error:
            raise DecodeError(f"the envelope lacks {error}: {data[:80]!r}") from error
        types = (type(message.id), type(message.task), type(message.args), type(message.kwargs), type(message.queue))
        if (
            types != _TYPES
            or type(message.priority) is not int
            or type(message.headers) is not dict
            or type(message.expires_ms) is not int
            or type(message.max_retries) not in (NoneType, int)
            or not all(
                value is None or is_number(value)
                for value in (message.retry_delay_s, message.soft_limit_s, message.hard_limit_s)
            )
            or type(message.due_ms) is not int
            or not are_resolved(message.links)
            or not are_resolved(message.error_links)
            or type(message.parent_id) is not str
            or type(message.root_id) is not str
            or type(message.follows) is not str
            or type(message.takes) is not bool
        ):
            raise DecodeError(f"the envelope holds values of wrong types: {data[:80]!r}")
        return message


def split_body(body: bytes) -> tuple[int, bytes]:
    """Split what a store keeps of a message, ``b"<enqueued ms> <envelope>"``.

    Raises:
        ValueError: it is not of that form.
    """
    enqueued, _, envelope = body.partition(b" ")
    return int(enqueued), envelope
