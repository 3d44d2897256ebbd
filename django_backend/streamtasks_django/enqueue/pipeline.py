"""From a call of a Django task to the message that the store accepts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from django.tasks.base import TaskResultStatus
from django.utils.json import normalize_json

from streamtasks import Message
from streamtasks.exceptions import InvalidTask as EngineInvalidTask
from streamtasks.exceptions import PayloadTooLarge
from streamtasks.stores.types import Limit, NewMessage
from streamtasks.tasks.enqueue import build, check_limits, choose_id, pack, place, resolved
from streamtasks.tasks.position import Position
from streamtasks.tasks.signature import NO_OPTIONS, CallOptions
from streamtasks.tasks.unset import UNSET
from streamtasks.workflows.linked import Linked

from ..conf import project
from ..exceptions import InvalidTask
from ..results.snapshot_results import RUN_AFTER, moment
from ..results.task_result import StreamTaskResult
from ..tasks.registry import find_task
from ..tasks.stream_task import PER_CALL, StreamTask

if TYPE_CHECKING:
    from django.tasks.base import Task, TaskResult

    from streamtasks.tasks.signature import Signature

    from .store_alias import StoreAlias

__all__ = ["Accepted", "accept", "registered_name", "resolve", "without_options"]


class Accepted(NamedTuple):
    """A checked and encoded call. ``patience_s``: see `Store.enqueue`."""

    result: TaskResult[..., Any]
    message: NewMessage
    patience_s: float | None


def accept(backend: StoreAlias, task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Accepted:
    """Check and encode one call.

    Raises:
        InvalidTask: an option of the task or of the call is wrong.
        TypeError, ValueError: JSON cannot carry an argument.
        PayloadTooLarge: the call takes more than ``max_payload_bytes``.
    """
    backend.validate_task(task)
    settings = backend.store_settings
    try:
        call = _complete(task)
        _check_links(backend, call)
        task_id = choose_id(call, settings.tags)
        result = StreamTaskResult(
            task=without_options(task),
            id=task_id,
            status=TaskResultStatus.READY,
            # Cut to ms as the server will say it, so that a result read later never starts before this.
            enqueued_at=moment(time.time_ns() // 1_000_000),
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            args=args,  # type: ignore[arg-type]  # TaskResult makes a list of it
            kwargs=kwargs,  # type: ignore[arg-type]
            backend=backend.alias,
            errors=[],
            worker_ids=[],
        )
        message = _message(task, result.args, result.kwargs, call, settings.tags, task_id)
        new = pack(message, call, _limit(task, result.args, result.kwargs), settings)
    except EngineInvalidTask as error:
        raise _as_django(error) from error
    if new.envelope[:1] != b"{":
        # There may be something in it that JSON changes (a key that is no string, say): show what the worker gets.
        sent = Message.decode(new.envelope, settings.wire, new.id)
        object.__setattr__(result, "args", sent.args)
        object.__setattr__(result, "kwargs", sent.kwargs)
    return Accepted(result, new, call.retry_time_s())


def resolve(backend: StoreAlias, task: StreamTask, signature: Signature, tag: str) -> Signature:
    """Return a signature of a routed task as whoever runs it needs it; see `streamtasks.tasks.signature.Origin`.

    Raises:
        InvalidTask: an option or an argument is wrong.
    """
    settings = backend.store_settings
    call = place(_complete(task), tag, settings.tags)
    _check_links(backend, call)
    args: Any = normalize_json(signature.args)
    kwargs: Any = normalize_json(dict(signature.kwargs))
    message = _message(task, args, kwargs, call, settings.tags, call.task_id)
    message.encode(settings.max_payload_bytes, settings.wire)  # what is wrong with it shows now
    return resolved(signature, message, call, _limit(task, args, kwargs))


def node_message(backend: StoreAlias, task: StreamTask, signature: Signature, position: Position) -> NewMessage:
    """Return a signature of a routed task as a node of a workflow.

    Raises:
        InvalidTask: an option of the task or of the call is wrong.
        TypeError, ValueError: JSON cannot carry an argument.
        PayloadTooLarge: the call takes more than ``max_payload_bytes``.
    """
    backend.validate_task(task)
    settings = backend.store_settings
    try:
        call = replace(_complete(task), task_id=position.id)
        _check_links(backend, call)
        args: Any = normalize_json((*position.before, *signature.args))
        kwargs: Any = normalize_json(dict(signature.kwargs))
        message = position.applied_to(_message(task, args, kwargs, call, settings.tags, position.id))
        return pack(message, call, _limit(task, args, kwargs), settings)
    except EngineInvalidTask as error:
        raise _as_django(error) from error


def _as_django(error: EngineInvalidTask) -> Exception:
    """Return the same error as one that is Django's too; a more special one stays what it is."""
    return error if isinstance(error, (InvalidTask, PayloadTooLarge)) else InvalidTask(str(error))


def _message(
    task: Task[..., Any],
    args: list[Any],
    kwargs: dict[str, Any],
    call: CallOptions,
    tags: tuple[str, ...],
    task_id: Any,
) -> Message:
    message = build(registered_name(task), args, kwargs, call, tags, task_id)
    if task.run_after is not None:
        message.headers[RUN_AFTER] = task.run_after.isoformat()
    for middleware in project.middleware():
        message = middleware.before_enqueue(message)
    return message


def registered_name(task: Task[..., Any]) -> str:
    """Return what messages call a task."""
    return task.registered_name if isinstance(task, StreamTask) else task.module_path


def _limit(task: Task[..., Any], args: Any, kwargs: Any) -> Limit | None:
    return task.limit_of(args, kwargs) if isinstance(task, StreamTask) else None


@lru_cache(maxsize=256)
def _plain(queue: str, priority: int) -> CallOptions:
    return CallOptions(queue=queue, priority=priority)


def _complete(task: Task[..., Any]) -> CallOptions:
    """Return all that is said of a call, by itself and by its task."""
    said = task.options if isinstance(task, StreamTask) else NO_OPTIONS
    base = _plain(task.queue_name, int(task.priority))
    more: dict[str, Any] = {}
    if isinstance(task, StreamTask):
        more = _differing(task)
        if task.expires is not None:
            more["expires"] = task.expires
    if task.run_after is not None and said.countdown is None and said.eta is None:
        more["eta"] = task.run_after
    if said is NO_OPTIONS and not more:
        return base
    call = replace(
        said,
        queue=base.queue,
        priority=base.priority,
        **{name: value for name, value in more.items() if getattr(said, name) is None},
    )
    if isinstance(task, StreamTask):
        check_limits(call, task.soft_time_limit, task.time_limit)
    return call


def _differing(task: StreamTask) -> dict[str, Any]:
    """Return options that ``using()`` has changed: a worker has only the task as it was defined."""
    defined = find_task(task.registered_name)
    if defined is None or defined is task or not isinstance(defined, StreamTask):
        return {}
    found = {}
    for name in PER_CALL:
        value = getattr(task, name)
        if value != getattr(defined, name) and value is not UNSET:
            found[name] = -1 if name == "max_retries" and value is None else value
    return found


def without_options(task: Task[..., Any]) -> Task[..., Any]:
    """Return the task as a reader of its result gets it: what was said of one call is the message's."""
    if not isinstance(task, StreamTask) or task.options is NO_OPTIONS:
        return task
    return task.changed(options=NO_OPTIONS)


def _check_links(backend: StoreAlias, call: CallOptions) -> None:
    for link in (*call.link, *call.link_error):
        origin = link.origin
        if isinstance(origin, Linked):
            owner = origin.owner_of(link)
            if owner.description != backend.label:
                raise EngineInvalidTask(
                    f"link: a workflow of {owner.description} cannot follow a task of {backend.label}; what is "
                    "linked stays in one."
                )
            continue
        if not isinstance(origin, StreamTask):
            if origin is not None:
                raise EngineInvalidTask(f"link: {link!r} is no task of this project's backends.")
            continue
        alias = origin.called({"backend": link.options.backend} if link.options.backend else {}).routed().backend
        if alias != backend.alias:
            raise EngineInvalidTask(
                f"link: {link!r} goes to the backend {alias!r}, what it follows to {backend.alias!r}; "
                "what is linked stays in one."
            )
