"""The envelope: one enqueued call of a task, and its bytes on the wire.

The bytes are one JSON object with short names, version 2::

    {"v": 2, "t": task, "a": args, "k": kwargs, "q": queue, "p": priority,
     "h": headers, "r": {"max": retries, "delay": s}, "x": expires ms, "xi": expires in ms, "d": due ms,
     "l": {"soft": s, "hard": s}, "ok": [signature], "er": [signature], "pa": parent id, "ro": root id,
     "f": what it follows, "in": true if it takes the result of that, "ms": whose results these are}

Empty parts are left out, as are the queue ``default`` and the priority 0. The id is no part: a store keeps each
envelope under it. Version 1, which older releases wrote and callback messages are, has all of ``id``, ``a``, ``k``,
``q`` and ``p``. The first byte tells the encoding: `wire` has others than JSON, and compresses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final, NamedTuple

from ..exceptions import DecodeError, InvalidKey, PayloadTooLarge
from .call_fields import CALL_FIELDS, are_call_fields
from .callback_message import is_callback, read_callback
from .json import dumps, invalid_key
from .links import are_resolved
from .sizes import LARGE_BYTES, warn_of_size
from .wire import JSON, MESSAGE, Wire

__all__ = ["MAX_HEADER_BYTES", "VERSION", "Message", "split_body"]

VERSION: Final = 2
MAX_HEADER_BYTES: Final = 16 * 1024

_FIRST_VERSION: Final = 1
_DEFAULT_QUEUE: Final = "default"


@dataclass(slots=True, kw_only=True)
class Message:
    """One enqueued call of a task. Treat it as frozen: change it with `dataclasses.replace`.

    It is not frozen because filling a frozen dataclass takes three times as long, and a worker decodes many.

    Attributes:
        id: made by the client, at most 64 characters.
        task: the registered name of the task.
        args: positional arguments, JSON values.
        kwargs: keyword arguments, JSON values.
        queue: the queue's name.
        priority: -100 (last) to 100 (first).
        headers: JSON values that travel with it: trace context, language, users' own columns. At most 16 KiB.
        max_retries: most retries; -1: without end; ``None``: the task's own.
        retry_delay_s: delay of a retry that gives none, seconds; ``None``: the task's own.
        expires_ms: not to be started after this time, ms since the epoch; 0: never expires.
        expires_in_ms: the same, ms after the store accepted it; 0: never. No client's clock counts then.
        due_ms: when it was to start at the earliest, ms since the epoch; 0: at once.
        soft_limit_s, hard_limit_s: time limits of one attempt, seconds; ``None``: the task's own.
        ignore_result: whether the value of a success is not stored; ``None``: the task's own.
        links: signatures (see `protocol.links`) of what runs after it succeeded.
        error_links: signatures of what runs after it finally failed.
        parent_id: the task that enqueued it, or that it follows; empty: none.
        root_id: the first of that line; empty: itself.
        follows: what it follows in its workflow: "4", the node of that number; "g0", that fan-in; empty: nothing.
        takes: whether the result of that is put before its arguments.
        inputs: in signed messages that take the results of a fan-in, whose these are: how many are needed, and the
            members in order, see `member_results.inputs_of`.
    """

    id: str
    task: str
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    queue: str = _DEFAULT_QUEUE
    priority: int = 0
    headers: dict[str, Any] = field(default_factory=dict)
    max_retries: int | None = None
    retry_delay_s: float | None = None
    expires_ms: int = 0
    expires_in_ms: int = 0
    due_ms: int = 0
    soft_limit_s: float | None = None
    hard_limit_s: float | None = None
    ignore_result: bool | None = None
    links: list[dict[str, Any]] = field(default_factory=list)
    error_links: list[dict[str, Any]] = field(default_factory=list)
    parent_id: str = ""
    root_id: str = ""
    follows: str = ""
    takes: bool = False
    inputs: Sequence[Any] = ()

    def encode(self, max_bytes: int, wire: Wire = JSON) -> bytes:
        """Return the bytes of the envelope; ``wire``: how (`StoreSettings.wire`).

        Raises:
            InvalidTask: JSON cannot carry an argument or a header.
            InvalidKey: a key in one of them is not a string.
            PayloadTooLarge: there are more than ``max_bytes`` of them, or too large headers.
        """
        body: dict[str, Any] = {"v": VERSION, "t": self.task}
        if self.args:
            body["a"] = self.args
        if self.kwargs:
            body["k"] = self.kwargs
        if self.queue != _DEFAULT_QUEUE:
            body["q"] = self.queue
        if self.priority:
            body["p"] = self.priority
        if self.headers and len(dumps(self.headers)) > MAX_HEADER_BYTES:
            raise PayloadTooLarge(f"The headers of task {self.task} take more than {MAX_HEADER_BYTES} bytes.")
        values = _values_of_parts(self)
        if values != _EMPTY_PARTS:
            body |= {part.key: value for part, value in zip(_PARTS, values, strict=True) if value}
        values = _values_of_fields(self)
        if values != _EMPTY_FIELDS:
            for field_, value in zip(CALL_FIELDS, values, strict=True):
                if value is not None:
                    body.setdefault(field_.group, {})[field_.key] = value
        try:
            data = dumps(body)
        except InvalidKey as error:
            part, *path = error.path
            raise invalid_key(_SHOWN.get(str(part), str(part)), path, error.key, self.task) from None
        if not wire.is_plain:
            data = wire.dress(data, MESSAGE, self.id)
        if len(data) > max_bytes:
            raise PayloadTooLarge(
                f"A call of task {self.task} takes {len(data)} bytes; max_payload_bytes is {max_bytes}. "
                "Store the data elsewhere and pass its id, or raise the limit."
            )
        if len(data) >= LARGE_BYTES:
            warn_of_size("call", self.task, len(data))
        return data

    @classmethod
    def decode(cls, data: bytes, wire: Wire = JSON, task_id: str = "") -> Message:
        """Read an envelope; ``task_id``: the id under which it was stored.

        Raises:
            EncodingRefused: this process may not read it, or it is not authentic.
            EncodingUnavailable: a library that reads it is not installed, or a key is missing.
            DecodeError: the bytes are no envelope, or one of a version this release does not know.
        """
        if not wire.requires_signed or not is_callback(task_id):
            body = wire.loads(data, MESSAGE, task_id)
        else:
            body = read_callback(data, task_id)
        if not isinstance(body, dict):
            raise DecodeError(f"not an envelope: {data[:80]!r}")
        version = body.pop("v", None)
        try:
            if version == VERSION:
                message = cls(
                    id=task_id,
                    task=body.pop("t"),
                    args=body.pop("a", []),
                    kwargs=body.pop("k", {}),
                    queue=body.pop("q", _DEFAULT_QUEUE),
                    priority=body.pop("p", 0),
                )
            elif version == _FIRST_VERSION:
                message = cls(
                    id=body.pop("id"),
                    task=body.pop("t"),
                    args=body.pop("a"),
                    kwargs=body.pop("k"),
                    queue=body.pop("q"),
                    priority=body.pop("p"),
                )
            else:
                known = f"{_FIRST_VERSION} and {VERSION}"
                raise DecodeError(f"envelope version {version!r} is not known to this release (it knows {known})")
        except KeyError as error:
            raise DecodeError(f"the envelope lacks {error}: {data[:80]!r}") from error
        if (
            type(message.id) is not str
            or type(message.task) is not str
            or type(message.args) is not list
            or type(message.kwargs) is not dict
            or type(message.queue) is not str
            or type(message.priority) is not int
            or (body and not message._read_rest(body))
        ):
            raise DecodeError(f"the envelope holds values of wrong types: {data[:80]!r}")
        return message

    def expires_at_ms(self, enqueued_ms: int) -> int:
        """Return when it expires, ms since the epoch, 0: never; ``enqueued_ms``: when the store accepted it."""
        return enqueued_ms + self.expires_in_ms if self.expires_in_ms else self.expires_ms

    def _read_rest(self, body: dict[str, Any]) -> bool:
        """Take over the parts that only some envelopes have; return whether all are of the right types."""
        left = len(body)
        if left == 1 and type(headers := body.get("h")) is dict:  # most often
            self.headers = headers
            return True
        for part in _PARTS:
            if part.key in body:
                value = body[part.key]
                if not part.is_valid(value):
                    return False
                setattr(self, part.attribute, value)
                left -= 1
                if not left:
                    return True
        if not are_call_fields(body):
            return False
        for field_ in CALL_FIELDS:
            if field_.group in body:
                setattr(self, field_.attribute, body[field_.group].get(field_.key))
        return True


class _Part(NamedTuple):
    """A part of the envelope that is left out where it is empty."""

    attribute: str
    key: str
    empty: Any
    is_valid: Callable[[Any], bool]


def _is(kind: type) -> Callable[[Any], bool]:
    return lambda value: type(value) is kind


_PARTS: Final = (
    _Part("headers", "h", {}, _is(dict)),
    _Part("expires_ms", "x", 0, _is(int)),
    _Part("expires_in_ms", "xi", 0, _is(int)),
    _Part("due_ms", "d", 0, _is(int)),
    _Part("links", "ok", [], are_resolved),
    _Part("error_links", "er", [], are_resolved),
    _Part("parent_id", "pa", "", _is(str)),
    _Part("root_id", "ro", "", _is(str)),
    _Part("follows", "f", "", _is(str)),
    _Part("takes", "in", False, _is(bool)),
    _Part("inputs", "ms", (), _is(list)),
)
_values_of_parts = attrgetter(*(part.attribute for part in _PARTS))
_SHOWN: Final = {"a": "args", "k": "kwargs"}
"""Parts of the envelope as errors name them."""

_EMPTY_PARTS: Final = tuple(part.empty for part in _PARTS)
_values_of_fields = attrgetter(*(one.attribute for one in CALL_FIELDS))
_EMPTY_FIELDS: Final = (None,) * len(CALL_FIELDS)


def split_body(body: bytes) -> tuple[int, bytes]:
    """Split what a store keeps of a message, ``b"<enqueued ms> <envelope>"``; the time is in base 10, or in base 36.

    Raises:
        ValueError: it is not of that form.
    """
    enqueued, _, envelope = body.partition(b" ")
    return int(enqueued, 10 if enqueued.isdigit() else 36), envelope
