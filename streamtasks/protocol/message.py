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

from ..exceptions import DecodeError, PayloadTooLarge
from .json import dumps
from .links import are_resolved
from .validation import is_number
from .wire import JSON, MESSAGE, Wire

__all__ = ["MAX_HEADER_BYTES", "VERSION", "Message", "split_body"]

VERSION: Final = 1
MAX_HEADER_BYTES: Final = 16 * 1024

_ALWAYS: Final = 7
"""How many parts every envelope has; the others are left out where they are empty."""
_NONE_GIVEN: Final[dict[str, Any]] = {}


@dataclass(slots=True, kw_only=True)
class Message:
    """One enqueued call of a task. Make a changed one by `dataclasses.replace`, as if it were frozen.

    (To fill a frozen dataclass takes three times as long, and a worker makes one for every message it runs.)

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
        try:
            message = cls(
                id=body["id"],
                task=body["t"],
                args=body["a"],
                kwargs=body["k"],
                queue=body["q"],
                priority=body["p"],
            )
            if len(body) > _ALWAYS:
                message._read_rest(body)
        except (KeyError, AttributeError) as error:
            raise DecodeError(f"the envelope lacks {error}: {data[:80]!r}") from error
        if (
            type(message.id) is not str
            or type(message.task) is not str
            or type(message.args) is not list
            or type(message.kwargs) is not dict
            or type(message.queue) is not str
            or type(message.priority) is not int
            or (len(body) > _ALWAYS and not message._rest_is_right())
        ):
            raise DecodeError(f"the envelope holds values of wrong types: {data[:80]!r}")
        return message

    def _read_rest(self, body: dict[str, Any]) -> None:
        """Take over what only some envelopes have."""
        retry, limits = body.get("r") or _NONE_GIVEN, body.get("l") or _NONE_GIVEN
        self.headers = body.get("h") or {}
        self.max_retries = retry.get("max")
        self.retry_delay_s = retry.get("delay")
        self.expires_ms = body.get("x", 0)
        self.due_ms = body.get("d", 0)
        self.soft_limit_s = limits.get("soft")
        self.hard_limit_s = limits.get("hard")
        self.links = body.get("ok") or []
        self.error_links = body.get("er") or []
        self.parent_id = body.get("pa", "")
        self.root_id = body.get("ro", "")
        self.follows = body.get("f", "")
        self.takes = body.get("in", False)

    def _rest_is_right(self) -> bool:
        """Whether all of that is of the right types."""
        return (
            type(self.headers) is dict
            and type(self.expires_ms) is int
            and type(self.max_retries) in (NoneType, int)
            and all(
                value is None or is_number(value)
                for value in (self.retry_delay_s, self.soft_limit_s, self.hard_limit_s)
            )
            and type(self.due_ms) is int
            and are_resolved(self.links)
            and are_resolved(self.error_links)
            and type(self.parent_id) is str
            and type(self.root_id) is str
            and type(self.follows) is str
            and type(self.takes) is bool
        )


def split_body(body: bytes) -> tuple[int, bytes]:
    """Split what a store keeps of a message, ``b"<enqueued ms> <envelope>"``.

    Raises:
        ValueError: it is not of that form.
    """
    enqueued, _, envelope = body.partition(b" ")
    return int(enqueued), envelope
