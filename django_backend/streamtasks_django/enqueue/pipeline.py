"""Enqueue a call of a Django task: plan, validate, build a message, encode it.

``task.enqueue()`` routes the task and calls its backend; the backend calls `prepare`, hands the message to the store,
and sends ``task_enqueued``. What does not depend on the arguments is planned once for each task.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings as django_settings

from streamtasks import Message
from streamtasks.exceptions import InvalidKey, PayloadTooLarge
from streamtasks.exceptions import InvalidTask as EngineInvalidTask
from streamtasks.protocol.heard import EVERYTHING, FAILURES
from streamtasks.stores.types import Limit, NewMessage
from streamtasks.tasks.enqueue import assign_id, before_enqueue, build, check_limits, choose_id, pack
from streamtasks.tasks.frame import Frame
from streamtasks.tasks.middleware import listens_to_ends
from streamtasks.tasks.options import WITHOUT_END
from streamtasks.tasks.position import Position
from streamtasks.tasks.resolved import resolve_signature
from streamtasks.tasks.signature import NO_OPTIONS, CallOptions
from streamtasks.tasks.unset import UNSET
from streamtasks.workflows.linked import Linked

from ..conf import project, version
from ..exceptions import InvalidTask
from ..framework import TaskResultStatus, normalize_json, task_finished
from ..results.metadata import HEADER
from ..results.task_result import StreamTaskResult
from ..tasks.definition import PER_CALL
from ..tasks.registry import find_task
from ..tasks.snapshot_results import RUN_AFTER, moment
from ..tasks.stream_task import StreamTask
from .json_errors import explained, normalized
from .signal_dispatch import only_logs

if TYPE_CHECKING:
    from streamtasks.tasks.signature import Signature

    from ..framework import Task, TaskResult
    from .store_alias import StoreAlias

__all__ = ["Prepared", "has_own_id", "prepare", "queued_result", "registered_name", "resolve", "without_options"]

_QUEUED = frozenset(
    {"task", "id", "status", "enqueued_at", "args", "kwargs", "backend", "errors", "worker_ids", "raw_metadata"}
)
_LATER = [
    (one.name, None if one.default is MISSING else one.default)
    for one in fields(StreamTaskResult)
    if one.name not in _QUEUED
]

type Prepared = tuple[TaskResult[..., Any], NewMessage, float | None]
"""The result of a call, its message, and the ``retry_time_s`` of `Store.enqueue`."""


class _Plan(NamedTuple):
    """Everything about calls of one task on one alias that does not depend on their arguments.

    Attributes:
        task: the routed task.
        shown: the task of a result, without the options of the call.
        name: the registered name.
        call: all options, complete.
        limited: whether starts count against a rate limit.
        retry_time_s: see `Store.enqueue`.
        use_tz: the setting USE_TZ.
        metadata: that of every call.
        has_listeners: whether hooks, middleware or ``store_result()`` are called with its end, as far as is known.
        frame: what the messages of its calls have in common, if all but id and arguments is.
    """

    task: Task[..., Any]
    shown: Task[..., Any]
    name: str
    call: CallOptions
    limited: bool
    retry_time_s: float | None
    use_tz: bool
    metadata: dict[str, Any]
    has_listeners: bool
    frame: Frame | None


def prepare(backend: StoreAlias, task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Prepared:
    """Route, validate and encode one call.

    Raises:
        InvalidTask: an option of the task or of the call is wrong.
        TypeError, ValueError: JSON cannot carry an argument.
        PayloadTooLarge: the call takes more than ``max_payload_bytes``.
    """
    settings = backend.store_settings
    known: tuple[object, str, _Plan] | None = getattr(task, "_plan", None)
    if known is not None and known[0] is version.token and known[1] == backend.alias:
        plan = known[2]
    else:
        plan = _plan(backend, task)
    backend.validate_task(plan.task)
    now_ms = time.time_ns() // 1_000_000  # in ms like the server's clock: a result that is read later starts not before
    try:
        task_id = choose_id(plan.call, settings.tags)
        enqueued_at = datetime.fromtimestamp(now_ms / 1000, UTC) if plan.use_tz else moment(now_ms)
        result = queued_result(plan.shown, task_id, enqueued_at, args, kwargs, backend.alias, dict(plan.metadata))
        middleware = project.middleware()
        if plan.frame is not None and not middleware:
            framed = plan.frame.message(result.args, result.kwargs, _hears(plan), task_id)
            if framed is not None:
                return result, framed, plan.retry_time_s
        message = build(plan.name, result.args, result.kwargs, plan.call, settings.tags, task_id)
        if middleware:
            message = before_enqueue(middleware, message)
        if message.expires_in_ms and backend.outbox_database is not None:
            message = replace(message, expires_ms=now_ms + message.expires_in_ms, expires_in_ms=0)  # counts from now
        limit = plan.task.limit_of(result.args, result.kwargs) if plan.limited else None  # type: ignore[attr-defined]
        new = pack(message, plan.call, limit, settings, _hears(plan))
    except EngineInvalidTask as error:
        raise _as_django(error) from error
    except (TypeError, ValueError) as error:
        raise explained(error, plan.name, args=args, kwargs=kwargs) from error
    if new.envelope[:1] != b"{":
        # JSON may change something in it: show what the worker gets.
        sent = Message.decode(new.envelope, settings.wire, new.id)
        object.__setattr__(result, "args", sent.args)
        object.__setattr__(result, "kwargs", sent.kwargs)
    return result, new, plan.retry_time_s


def queued_result(
    task: Any,
    task_id: str,
    enqueued_at: datetime | None,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    backend: str,
    metadata: dict[str, Any],
) -> StreamTaskResult[Any]:
    """Return a result with the status READY; its class makes the same, in three times the time.

    Raises:
        TypeError, ValueError: JSON cannot carry an argument.
    """
    made: StreamTaskResult[Any] = object.__new__(StreamTaskResult)
    put = object.__setattr__
    put(made, "task", task)
    put(made, "id", task_id)
    put(made, "status", TaskResultStatus.READY)
    put(made, "enqueued_at", enqueued_at)
    put(made, "args", normalize_json(args) if args else [])
    put(made, "kwargs", normalize_json(kwargs) if kwargs else {})
    put(made, "backend", backend)
    put(made, "errors", [])
    put(made, "worker_ids", [])
    put(made, "raw_metadata", metadata)
    for name, value in _LATER:
        put(made, name, value)
    return made


def resolve(backend: StoreAlias, task: StreamTask[..., Any], signature: Signature, tag: str) -> Signature:
    """Return a signature of a routed task with its id and all options; see `streamtasks.tasks.signature.Origin`.

    Raises:
        InvalidTask: an option or an argument is wrong.
    """
    settings = backend.store_settings
    plan = _plan(backend, task)
    call = assign_id(plan.call, tag, settings.tags)
    message, limit = _message(plan, call, signature.args, signature.kwargs, settings.tags)
    message.encode(settings.max_payload_bytes, settings.wire)  # raises what would be raised later
    return resolve_signature(signature, message, call, limit)


def node_message(
    backend: StoreAlias, task: StreamTask[..., Any], signature: Signature, position: Position
) -> NewMessage:
    """Return a signature of a routed task as a node of a workflow.

    Raises:
        InvalidTask: an option of the task or of the call is wrong.
        TypeError, ValueError: JSON cannot carry an argument.
        PayloadTooLarge: the call takes more than ``max_payload_bytes``.
    """
    settings = backend.store_settings
    backend.validate_task(task)
    try:
        plan = _plan(backend, task)
        call = replace(plan.call, task_id=position.id)
        args = (*position.before, *signature.args)
        message, limit = _message(plan, call, args, signature.kwargs, settings.tags)
        return pack(position.applied_to(message), call, limit, settings, _hears(plan))
    except EngineInvalidTask as error:
        raise _as_django(error) from error


def _message(
    plan: _Plan, call: CallOptions, args: Sequence[Any], kwargs: Mapping[str, Any], tags: tuple[str, ...]
) -> tuple[Message, Limit | None]:
    """Build the message of a signature; its rate limit is known before middleware changes anything."""
    own_args = normalized(args, plan.name, "args")
    own_kwargs = normalized(dict(kwargs), plan.name, "kwargs")
    message = build(plan.name, own_args, own_kwargs, call, tags, call.task_id)
    message = before_enqueue(project.middleware(), message)
    limit = plan.task.limit_of(own_args, own_kwargs) if plan.limited else None  # type: ignore[attr-defined]
    return message, limit


def _as_django(error: EngineInvalidTask) -> Exception:
    """Return the error as one that is Django's too; a more special one stays as it is."""
    return error if isinstance(error, (InvalidTask, InvalidKey, PayloadTooLarge)) else InvalidTask(str(error))


def _has_listeners(backend: StoreAlias, task: Task[..., Any]) -> bool:
    has_hooks = isinstance(task, StreamTask) and task.has_hooks()
    return has_hooks or backend.wants_outcomes or listens_to_ends(project.middleware())


def _hears(plan: _Plan) -> str:
    """Return what is heard of an end that no child has seen: Django's log has a line for each failure."""
    return EVERYTHING if plan.has_listeners or not only_logs(task_finished) else FAILURES


def registered_name(task: Task[..., Any]) -> str:
    """Return the name of a task in messages."""
    return task.registered_name if isinstance(task, StreamTask) else task.module_path


def without_options(task: Task[..., Any]) -> Task[..., Any]:
    """Return the task of a result: options of the call belong to the message."""
    if not isinstance(task, StreamTask) or task.options is NO_OPTIONS:
        return task
    return task.changed(options=NO_OPTIONS)


def has_own_id(task: Task[..., Any]) -> bool:
    """Return whether the caller has chosen the id of the call, so that another call may have it."""
    return isinstance(task, StreamTask) and task.options.task_id is not None


def _plan(backend: StoreAlias, task: Task[..., Any]) -> _Plan:
    """Derive the plan of a task, and remember it with the task while no setting changes.

    Called on a backend by hand, TASK_ROUTES gives queue and priority only, unless it routes the task elsewhere.
    """
    known: tuple[object, str, _Plan] | None = getattr(task, "_plan", None)
    if known is not None and known[0] is version.token and known[1] == backend.alias:
        return known[2]
    routed: Task[..., Any] = task.routed() if isinstance(task, StreamTask) else task
    if routed.backend not in (backend.alias, task.backend):
        routed = task
    backend.validate_task(routed)
    defined = find_task(registered_name(routed))
    try:
        call = _complete(routed, defined)
        _check_links(backend, call)
    except EngineInvalidTask as error:
        raise _as_django(error) from error
    limited = isinstance(routed, StreamTask) and bool(routed.rate_limit)
    plan = _Plan(
        routed,
        without_options(routed),
        registered_name(routed),
        call,
        limited,
        call.retry_time_s(),
        django_settings.USE_TZ,
        routed.metadata if isinstance(routed, StreamTask) else {},
        defined is None or _has_listeners(backend, defined),
        None if limited else Frame.of(registered_name(routed), call, backend.store_settings),
    )
    if isinstance(routed, StreamTask) and defined is not None:  # until its module is loaded, its definition is unknown
        for one in (task, routed):
            object.__setattr__(one, "_plan", (version.token, backend.alias, plan))
    return plan


def _complete(task: Task[..., Any], defined: Task[..., Any] | None) -> CallOptions:
    """Return all options of a call: its own, then those of its task that the worker cannot know."""
    given = task.options if isinstance(task, StreamTask) else NO_OPTIONS
    more: dict[str, Any] = {}
    if isinstance(task, StreamTask):
        more = _differing(task, defined)
        if task.expires is not None:
            more["expires"] = task.expires
        if task.durability is not None:
            more["durability"] = task.durability
        if task.metadata:
            given = replace(given, headers={**given.headers, HEADER: task.metadata})
    if task.run_after is not None:
        if given.countdown is None and given.eta is None:
            more["eta"] = task.run_after
        given = replace(given, headers={**given.headers, RUN_AFTER: task.run_after.isoformat()})
    call = replace(
        given,
        queue=task.queue_name,
        priority=int(task.priority),
        **{name: value for name, value in more.items() if getattr(given, name) is None},
    )
    if isinstance(task, StreamTask):
        check_limits(call, task.soft_time_limit, task.time_limit)
    return call


def _differing(task: StreamTask[..., Any], defined: Task[..., Any] | None) -> dict[str, Any]:
    """Return options that ``using()`` has changed: a worker has only the task as it was defined."""
    if defined is None or defined is task or not isinstance(defined, StreamTask):
        return {}
    found = {}
    for name in PER_CALL:
        value = getattr(task, name)
        if value != getattr(defined, name) and value is not UNSET:
            found[name] = WITHOUT_END if name == "max_retries" and value is None else value
    return found


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
