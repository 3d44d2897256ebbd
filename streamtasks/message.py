"""The envelope: one enqueued call of a task, and its bytes on the wire.

The bytes are one JSON object with short names, version 1::

    {"v": 1, "id": ..., "t": task, "a": args, "k": kwargs, "q": queue, "p": priority,
     "h": headers, "r": {"max": retries, "delay": s}, "x": expires ms}

Empty parts are left out. The first byte tells the encoding (see `codec`), so that others can follow.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Final

from .codec import dumps, loads
from .exceptions import DecodeError, PayloadTooLarge
from .numbers import is_number

__all__ = ["MAX_HEADER_BYTES", "VERSION", "Message", "split_body"]

VERSION: Final = 1
MAX_HEADER_BYTES: Final = 16 * 1024

_TYPES: Final = (str, str, list, dict, str)
_NO_RETRY: Final[dict[str, Any]] = {}


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

    def encode(self, max_bytes: int) -> bytes:
        """Return the bytes of the envelope.

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
        if self.expires_ms:
            body["x"] = self.expires_ms
        data = dumps(body)
        if len(data) > max_bytes:
            raise PayloadTooLarge(
                f"A call of task {self.task} takes {len(data)} bytes; max_payload_bytes is {max_bytes}. "
                "Store the data elsewhere and pass its id, or raise the limit."
            )
        return data

    @classmethod
    def decode(cls, data: bytes) -> Message:
        """Read an envelope.

        Raises:
            DecodeError: the bytes are no envelope, or one of a version this release does not know.
        """
        body = loads(data)
        if not isinstance(body, dict):
            raise DecodeError(f"not an envelope: {data[:80]!r}")
        if body.get("v") != VERSION:
            raise DecodeError(f"envelope version {body.get('v')!r} is not known to this release (it knows {VERSION})")
        retry = body.get("r") or _NO_RETRY
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
            or not (message.retry_delay_s is None or is_number(message.retry_delay_s))
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
