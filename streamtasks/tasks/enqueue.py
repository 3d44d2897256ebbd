"""Enqueue: check a call, build its message, encode it. Plain Python and Django use the same functions."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from operator import attrgetter
from typing import Any, Final

from ..exceptions import ConfigurationError, InvalidTask, UnknownQueue
from ..protocol.call_fields import CALL_FIELDS
from ..protocol.heard import EVERYTHING, NOTHING
from ..protocol.message import Message
from ..protocol.shards import id_beside, new_id, tag_of
from ..results import Result
from ..settings import StoreSettings
from ..stores.owner import Owner
from ..stores.types import Limit, NewMessage
from .attempt import running_attempt
from .known_id import check_known
from .middleware import Middleware, listens_to_ends
from .signature import NO_OPTIONS, CallOptions, Signature
from .signature_wire import encode_signature

__all__ = [
    "Pipeline",
    "assign_id",
    "before_enqueue",
    "build",
    "check_limits",
    "choose_id",
    "declaring",
    "merge_options",
    "pack",
]

_declaring: Final[ContextVar[bool]] = ContextVar("streamtasks_declaring", default=False)

_fields_of: Final = attrgetter(*[one.option for one in CALL_FIELDS])
_NO_FIELDS: Final = (None,) * len(CALL_FIELDS)


class Pipeline:
    """Enqueue the calls of one app: check them, build messages, run middleware, encode, send.

    Args:
        owner: the app.
        queues: the queues that may be used; None: any.
        middleware: the first is outermost.
    """

    def __init__(self, owner: Owner, queues: frozenset[str] | None, middleware: Sequence[Middleware]) -> None:
        self.owner = owner
        self.queues = queues
        self.middleware = middleware

    @property
    def hears(self) -> str:
        """What is heard of the ends of tasks without hooks; see `streamtasks.protocol.heard`."""
        return EVERYTHING if self.middleware and listens_to_ends(self.middleware) else NOTHING

    def check_queue(self, queue: str) -> None:
        """Check that a queue may be used.

        Raises:
            UnknownQueue: it is not one of the configured ones.
        """
        if self.queues is not None and queue not in self.queues:
            raise UnknownQueue(
                f"Queue {queue!r} is not one of the queues of {self.owner.description}: "
                f"{', '.join(sorted(self.queues))}."
            )

    def check(self, call: CallOptions) -> None:
        """Check the options of a call that depend on the app.

        Raises:
            UnknownQueue: the queue is not one of the configured ones.
            InvalidTask: a link leads to another app, or a call names a backend.
        """
        assert call.queue is not None
        self.check_queue(call.queue)
        if call.backend is not None:
            raise InvalidTask(f"backend is {call.backend!r}; only tasks of Django have backends to choose from.")
        for link in (*call.link, *call.link_error):
            if link.origin is not None and link.origin.owner_of(link) is not self.owner:
                raise InvalidTask(f"link: {link!r} belongs to another app; what is linked stays in one.")

    def message(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], call: CallOptions) -> Message:
        """Return one call as a message, passed through the middleware; ``call`` is complete and checked."""
        message = build(name, args, kwargs, call, self.owner.settings.tags)
        if self.middleware:
            message = before_enqueue(self.middleware, message)
        return message

    def send(
        self, messages: Sequence[NewMessage], retry_time_s: float | None = None, *, own_id: bool = False
    ) -> list[Result[Any]]:
        """Enqueue encoded messages in one round trip, in order.

        Args:
            messages: what to enqueue.
            retry_time_s: see `Store.enqueue`.
            own_id: the caller has chosen the id of the only message, so another call may have it.

        Raises:
            TaskIdInUse: another call has it.
        """
        accepted = self.owner.store.enqueue(messages, retry_time_s)
        if own_id and not accepted[0]:
            check_known(messages[0], self.owner.store.read([messages[0].id])[0], self.owner.settings.wire)
        return [Result(self.owner, message.id) for message in messages]

    async def asend(
        self, messages: Sequence[NewMessage], retry_time_s: float | None = None, *, own_id: bool = False
    ) -> list[Result[Any]]:
        """Enqueue encoded messages from an event loop; see `send`."""
        accepted = await self.owner.async_store.enqueue(messages, retry_time_s)
        if own_id and not accepted[0]:
            [known] = await self.owner.async_store.read([messages[0].id])
            check_known(messages[0], known, self.owner.settings.wire)
        return [Result(self.owner, message.id) for message in messages]


@contextmanager
def declaring() -> Generator[None]:
    """Return a context in which calls are described, not enqueued: `before_enqueue` leaves their messages alone.

    A context variable, because links are resolved by their own tasks, far below what declares a schedule.
    """
    token = _declaring.set(True)
    try:
        yield
    finally:
        _declaring.reset(token)


def before_enqueue(middleware: Sequence[Middleware], message: Message) -> Message:
    """Return a message after ``before_enqueue()`` of each middleware; in `declaring`, as it is.

    Raises:
        ConfigurationError: one returned something else than a message.
    """
    if _declaring.get():
        return message
    for one in middleware:
        returned: Any = one.before_enqueue(message)
        if not isinstance(returned, Message):
            name = f"{type(one).__module__}.{type(one).__qualname__}"
            raise ConfigurationError(f"{name}.before_enqueue() returned {returned!r}; it must return the message.")
        message = returned
    return message


def build(
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    call: CallOptions,
    tags: tuple[str, ...],
    task_id: str | None = None,
) -> Message:
    """Return one call as a message.

    Args:
        name: of the task.
        args: its positional arguments.
        kwargs: its keyword arguments.
        call: complete: its queue and priority are given.
        tags: the shards.
        task_id: a result of `choose_id`; None: choose one.

    Raises:
        InvalidTask: a link cannot work.
    """
    task_id = task_id or choose_id(call, tags)
    parent_id = root_id = call.after
    if not parent_id and (attempt := running_attempt()) is not None:
        parent_id, root_id = attempt.id, attempt.message.root_id or attempt.id
    assert call.queue is not None
    assert call.priority is not None
    message = Message(
        id=task_id,
        task=name,
        args=list(args),
        kwargs=dict(kwargs),
        queue=call.queue,
        priority=call.priority,
        headers=dict(call.headers),
        parent_id=parent_id,
        root_id=root_id,
    )
    if call.link or call.link_error:
        tag = tag_of(task_id, tags)
        message.links = [_link(one, tag) for one in call.link]
        message.error_links = [_link(one, tag) for one in call.link_error]
    if call.has_times:
        due_ms, delay_ms = call.due()
        message.expires_ms, message.expires_in_ms = call.expiry()
        message.due_ms = due_ms or (round(time.time() * 1000) + delay_ms if delay_ms else 0)
    values = _fields_of(call)
    if values != _NO_FIELDS:
        for one, value in zip(CALL_FIELDS, values, strict=True):
            setattr(message, one.attribute, value)
    return message


def pack(
    message: Message, call: CallOptions, limit: Limit | None, settings: StoreSettings, hears: str = EVERYTHING
) -> NewMessage:
    """Encode a message for the store.

    ``hears``: what is heard of its end but by ``link_error``; see `streamtasks.protocol.heard`.

    Raises:
        InvalidTask: JSON cannot carry an argument or a header.
        PayloadTooLarge: it takes more than ``max_payload_bytes``.
    """
    due_ms, delay_ms = call.due() if call.has_times else (None, None)
    envelope = message.encode(settings.max_payload_bytes, settings.wire)
    return NewMessage(
        message.id,
        message.queue,
        message.priority,
        envelope,
        due_ms,
        delay_ms,
        limit,
        call.after,
        message.expires_ms,
        message.expires_in_ms,
        EVERYTHING if message.error_links else hears,
        call.durability,
    )


def assign_id(call: CallOptions, tag: str, tags: tuple[str, ...]) -> CallOptions:
    """Return the options of a call with an id on the shard ``tag``.

    Raises:
        InvalidTask: its own id is on another shard.
    """
    if call.task_id is None:
        return replace(call, task_id=new_id((tag,)))
    if tag_of(call.task_id, tags) != tag:
        raise InvalidTask(
            f"task_id is {call.task_id!r}, which lives on another shard than the task it is linked to; leave it out."
        )
    return call


def check_limits(call: CallOptions, soft_s: float | None, hard_s: float | None) -> None:
    """Check the time limits of a call against those of its task, seconds.

    Raises:
        InvalidTask: the soft limit would not come first.
    """
    if call.soft_time_limit is None and call.time_limit is None:
        return
    soft_s = soft_s if call.soft_time_limit is None else call.soft_time_limit
    hard_s = hard_s if call.time_limit is None else call.time_limit
    if soft_s is not None and hard_s is not None and soft_s >= hard_s:
        raise InvalidTask(
            f"soft_time_limit would be {soft_s:g} s and time_limit {hard_s:g} s; the soft one must come first."
        )


def choose_id(call: CallOptions, tags: tuple[str, ...]) -> str:
    """Return the id of a call: its own, or one on the shard of what it follows.

    Raises:
        InvalidTask: it would live on another shard than what it follows.
    """
    if not call.after:
        return call.task_id or new_id(tags)
    if call.task_id is None:
        return id_beside(call.after, tags)
    if tag_of(call.task_id, tags) != tag_of(call.after, tags):
        raise InvalidTask(f"task_id {call.task_id!r} lives on another shard than link {call.after!r}; leave it out.")
    return call.task_id


def _link(signature: Signature, tag: str) -> dict[str, Any]:
    if signature.origin is not None:
        signature = signature.origin.resolve(signature, tag)
    elif signature.options.task_id is None or signature.options.queue is None:
        raise InvalidTask(f"link: {signature!r} came over the wire without an id; make it anew from its task.")
    return encode_signature(signature)


def merge_options(signature: Signature, defaults: CallOptions, **more: Any) -> CallOptions:
    """Return the options of a signature on top of its task's, and ``more`` on top of both."""
    if signature.options is NO_OPTIONS:
        return replace(defaults, **more) if more else defaults
    return replace(CallOptions.of(signature.options.given(), defaults), **more)
