"""The task class of our backends: Django's, with the documented options and ways to call, and what its code lacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, fields, replace
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Self, dataclass_transform

from django.core.signals import setting_changed
from django.tasks import DEFAULT_TASK_QUEUE_NAME
from django.tasks.base import Task as DjangoTask
from django.utils import timezone
from django.utils.module_loading import import_string

from streamtasks.exceptions import InvalidTask as EngineInvalidTask
from streamtasks.tasks.attempt import running_attempt
from streamtasks.tasks.enqueue import check_arguments
from streamtasks.tasks.option_names import engine_options
from streamtasks.tasks.rate_limit import check_rate_limit, limit_of
from streamtasks.tasks.request import BoundTask, Request
from streamtasks.tasks.run_options import RunOptions, check_executor
from streamtasks.tasks.signature import NO_OPTIONS, CallOptions, Signature
from streamtasks.tasks.unset import UNSET

from ..conf import task_settings, version
from ..exceptions import InvalidTask
from . import declared_schedules, names
from .call_options import call_options, django_fields, extra_names, with_columns
from .owners import owner_of

if TYPE_CHECKING:
    from django.tasks.base import TaskResult

    from streamtasks.stores.owner import Owner
    from streamtasks.stores.types import Limit, NewMessage
    from streamtasks.tasks.position import Position

    _DjangoTask = DjangoTask[..., Any]
else:
    _DjangoTask = DjangoTask

__all__ = ["StreamTask"]


class _Base(_DjangoTask):
    """Slots for what is derived from a task and from the settings; copies of a task begin with empty ones."""

    __slots__ = ("_plan", "_routed", "_validated")


_RUN: Final = (
    "max_retries",
    "default_retry_delay",
    "autoretry_for",
    "dont_autoretry_for",
    "retry_backoff",
    "retry_backoff_max",
    "retry_jitter",
    "soft_time_limit",
    "time_limit",
    "executor",
)
"""Options of how a task is run, by their documented names."""

PER_CALL: Final = ("max_retries", "default_retry_delay", "soft_time_limit", "time_limit")
"""Those of them that travel with a call."""

_LIMIT: Final = ("rate_limit", "rate_limit_burst", "rate_limit_key")
_CHECKED: Final = (*_RUN, *_LIMIT, "expires", "bind")
_USING: Final = frozenset({"priority", "queue_name", "run_after", "backend", "expires", *PER_CALL, *_LIMIT})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def _as_django[T](cls: type[T]) -> type[T]:
    """Make a dataclass as Django's own task is one: a frozen one may not inherit from another kind."""
    frozen: bool = DjangoTask.__dataclass_params__.frozen  # type: ignore[attr-defined]
    return dataclass(frozen=frozen, slots=True, kw_only=True)(cls)


@_as_django
class StreamTask(_Base):
    """What ``@task`` makes on a backend of ours.

    ``run_after`` may be a timedelta, as Django documents it: it counts from the call of ``using()``, and
    the attribute then holds the datetime. A priority that Django accepts (5.0, True) is stored as an int.

    Attributes:
        name: what messages call the task; by default its function's name is shown, and messages have its path.
        bind: the function gets what runs it (`streamtasks.BoundTask`) before its own arguments.
        max_retries: how often it may be run again after asking for it; None: without end.
        default_retry_delay: seconds before a retry that names no delay, or a timedelta.
        autoretry_for: exceptions that ask for a retry by themselves.
        dont_autoretry_for: of those, the ones that do not.
        retry_backoff: delay before the first automatic retry, doubled each time, seconds; True: 1, False: none.
        retry_backoff_max: longest of these delays, seconds.
        retry_jitter: whether each of them is a random part of itself.
        soft_time_limit: `SoftTimeLimitExceeded` is raised in the task after so long, seconds.
        time_limit: the task is ended for certain after so long, seconds.
        executor: ``"inline"``: it runs alone in its child, on the main thread; see `streamtasks.TaskOptions`.
        expires: not to be started later than this after it was enqueued, seconds.
        rate_limit: starts over all workers: ``"10/m"``, ``"5/s"``, ``"100/h"``, ``"7/d"``, or a number a second.
        rate_limit_burst: how many of them may follow each other at once.
        rate_limit_key: limits by key: a text, or a function of the call's arguments that returns one.
        schedule: a rule by which it is enqueued again and again, or an entry of TASK_SCHEDULE without its task.
        options: what is said of one call; ``apply_async()`` and ``using()`` fill it.
        queue: another word for ``queue_name``.
    """

    name: str = ""  # pyright: ignore[reportIncompatibleMethodOverride]  # a property of Django's
    bind: bool = False
    max_retries: Any = UNSET
    default_retry_delay: Any = UNSET
    autoretry_for: Any = ()
    dont_autoretry_for: Any = ()
    retry_backoff: Any = False
    retry_backoff_max: Any = 600
    retry_jitter: bool = True
    soft_time_limit: Any = None
    time_limit: Any = None
    executor: Any = None
    expires: Any = None
    rate_limit: Any = None
    rate_limit_burst: int = 1
    rate_limit_key: str | Callable[..., Any] | None = None
    schedule: Any = field(default=None, compare=False, hash=False, repr=False)
    options: CallOptions = field(default=NO_OPTIONS, compare=False, hash=False, repr=False)
    queue: InitVar[str | None] = None

    def __post_init__(self, queue: str | None) -> None:
        put = object.__setattr__
        if queue is not None:
            _check_one_queue(queue, self.queue_name, DEFAULT_TASK_QUEUE_NAME)
            put(self, "queue_name", queue)
        if isinstance(self.run_after, timedelta):
            put(self, "run_after", timezone.now() + self.run_after)
        if not isinstance(self.name, str):
            raise InvalidTask(f"name is {self.name!r}; it must be a text.")
        if not self.name:
            put(self, "name", self.func.__name__)
        self._check()
        DjangoTask.__post_init__(self)  # a bare super() fails in a dataclass with slots
        if type(self.priority) is not int:
            put(self, "priority", int(self.priority))
        if self.name != self.func.__name__:
            names.register(self.name, self)
        if self.schedule is not None and declared_schedules.register(self):
            self._check_schedule()

    def _check_schedule(self) -> None:
        from streamtasks.schedules.declared import check_entry, entry_of
        from streamtasks.schedules.owner import make_signature

        try:
            check_entry(
                lambda task, args, kwargs, options: self.with_options(make_signature(task, args, kwargs), options),
                entry_of(self, self.schedule),
            )
        except EngineInvalidTask as error:
            declared_schedules.forget(self)
            raise InvalidTask(str(error)) from error

    def _check(self) -> None:
        try:
            for name in ("autoretry_for", "dont_autoretry_for"):
                given = getattr(self, name)
                if type(given) is not tuple:
                    object.__setattr__(self, name, engine_options({name: given})[name])
            values = [getattr(self, name) for name in _CHECKED]
            try:
                _check_options(*values)
            except TypeError:  # one cannot be hashed: it is wrong, and shall be named
                _check_options.__wrapped__(*values)
            check_executor(self.executor, self.func)
        except EngineInvalidTask as error:
            raise InvalidTask(str(error)) from error

    # -- what others need to know --------------------------------------------------------------------

    @property
    def registered_name(self) -> str:
        """What messages call this task: its own name if it has one, else its path."""
        return self.name if self.name != self.func.__name__ else self.module_path

    def run_options(self) -> RunOptions:
        """Return how it is run: what it says itself, then what OPTIONS of its backend and the settings say.

        Raises:
            ConfigurationError: a setting is wrong.
        """
        return _run_options(self)

    def limit_of(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Limit | None:
        """Return the rate limit that the start of a call counts against; None: none.

        Raises:
            InvalidTask: ``rate_limit_key`` cannot tell.
        """
        if not self.rate_limit:
            return None
        return limit_of(self.registered_name, self.rate_limit, self.rate_limit_burst, self.rate_limit_key, args, kwargs)

    @classmethod
    def bare(cls, func: Callable[..., Any], name: str) -> dict[str, Any]:
        """Return the values of all fields of a task of which only this is known."""
        values = {one.name: one.default for one in fields(cls)}
        return {**values, "func": func, "takes_context": False, "name": name}

    def has_hooks(self) -> bool:
        """Whether outcomes are told to it."""
        return False

    @classmethod
    def _reconstruct(cls, kwargs: dict[str, Any]) -> Self:
        path = kwargs["func"]
        try:
            kwargs["func"] = import_string(path).func
        except (ImportError, AttributeError) as error:
            raise ValueError(f"Expected {path!r} to point to a Task instance.") from error
        return cls(**kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        # Django 6.0 has none: a task could not be pickled there.
        kwargs = {one.name: getattr(self, one.name) for one in fields(self)}
        kwargs["func"] = self.module_path
        return (self.__class__._reconstruct, (kwargs,))

    # -- running it ----------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function here and now."""
        return self.call(*args, **kwargs)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function here; of a bound one, with its ``self``."""
        return DjangoTask.call(self, *self._arguments(args, kwargs), **kwargs)

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function on this event loop, or on another thread if it is a plain one."""
        return await DjangoTask.acall(self, *self._arguments(args, kwargs), **kwargs)

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        return (BoundTask(self, self._request(args, kwargs), self.run_options()), *args) if self.bind else args

    def _request(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request:
        attempt = running_attempt()
        if attempt is not None and attempt.message.task in (self.registered_name, self.module_path):
            return Request.of(attempt)
        return Request(task=self.registered_name, args=list(args), kwargs=kwargs)

    # -- enqueueing it -------------------------------------------------------------------------------

    def using(self, *, queue: str | None = None, **changes: Any) -> Self:
        """Return the same task with other options: Django's, ``queue``, ``expires``, limits and retries.

        Raises:
            InvalidTask: a value is wrong, or the option belongs to the definition of the task.
            TypeError: an option is not known.
        """
        if queue is not None:
            _check_one_queue(queue, changes.get("queue_name"), None)
            changes["queue_name"] = queue
        for name in changes:
            if name not in _USING:
                if name in {one.name for one in fields(self)}:
                    raise InvalidTask(f"{name} belongs to the definition of a task; using() cannot change it.")
                raise TypeError(f"{type(self).__name__}.using() got an unexpected keyword argument {name!r}")
        for name in ("priority", "queue_name", "run_after", "backend"):
            if changes.get(name, UNSET) is None:
                del changes[name]
        new = self.changed(**changes)
        said = {
            option: getattr(new, name)
            for name, option in (("priority", "priority"), ("queue_name", "queue"), ("backend", "backend"))
            if name in changes
        }
        if "run_after" in changes:
            said.update(countdown=None, eta=None)
        if said:
            object.__setattr__(new, "options", CallOptions.of(said, self.options))
        return new

    def changed(self, **changes: Any) -> Self:
        """Return the same task with other values of these fields, checked."""
        return replace(self, **changes)

    def enqueue(self, /, *args: Any, **kwargs: Any) -> TaskResult[..., Any]:
        """Enqueue one call, where TASK_ROUTES sends it."""
        task = self.routed()
        if "self" in kwargs:  # Django's own method has no room for it
            return task.get_backend().enqueue(task, list(args), kwargs)
        return DjangoTask.enqueue(task, *args, **kwargs)  # by its name, for those who patch it

    async def aenqueue(self, /, *args: Any, **kwargs: Any) -> TaskResult[..., Any]:
        """Enqueue one call from an event loop."""
        task = self.routed()
        if "self" in kwargs:
            return await task.get_backend().aenqueue(task, list(args), kwargs)
        return await DjangoTask.aenqueue(task, *args, **kwargs)

    def delay(self, /, *args: Any, **kwargs: Any) -> TaskResult[..., Any]:
        """Enqueue one call; all arguments are the task's."""
        return self.enqueue(*args, **kwargs)

    async def adelay(self, /, *args: Any, **kwargs: Any) -> TaskResult[..., Any]:
        """Enqueue one call from an event loop."""
        return await self.aenqueue(*args, **kwargs)

    def apply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> TaskResult[..., Any]:
        """Enqueue one call with options of its own; see `streamtasks.CallOptions` for them.

        A naive ``eta`` or ``expires`` is in Django's current time zone.

        Raises:
            InvalidTask: an option has an unknown name or a wrong value.
        """
        task, args, kwargs = self._with(args, kwargs, options)
        return task.enqueue(*args, **kwargs)

    async def aapply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> TaskResult[..., Any]:
        """Enqueue one call from an event loop; see `apply_async`."""
        task, args, kwargs = self._with(args, kwargs, options)
        return await task.aenqueue(*args, **kwargs)

    def _with(
        self, args: Any, kwargs: Any, options: dict[str, Any]
    ) -> tuple[StreamTask, Sequence[Any], Mapping[str, Any]]:
        try:
            args, kwargs = check_arguments(args, kwargs)
        except EngineInvalidTask as error:
            raise InvalidTask(str(error)) from error
        return self.called(options), args, kwargs

    def called(self, options: Mapping[str, Any]) -> StreamTask:
        """Return the task with these options of a call; where Django has a word for one, it is said there too.

        Raises:
            InvalidTask: an option has an unknown name or a wrong value.
        """
        if not options:
            return self
        try:
            if extra := extra_names(options):
                alias = options.get("backend") or self.routed().backend
                options = with_columns(options, extra, alias, self.options.headers)
            call = call_options(options, self.options)
        except EngineInvalidTask as error:
            raise InvalidTask(str(error)) from error
        new = self.changed(**django_fields(call, options))
        object.__setattr__(new, "options", call)
        return new

    def routed(self) -> StreamTask:
        """Return the task with the backend, queue and priority of TASK_ROUTES; options of the call take precedence.

        Raises:
            ConfigurationError: TASK_ROUTES is wrong.
            InvalidTask: the backend it is routed to does not take it.
        """
        known: tuple[object, StreamTask] | None = getattr(self, "_routed", None)
        if known is not None and known[0] is version.token:
            return known[1]
        task = self._route()
        for one in (self, task):
            object.__setattr__(one, "_routed", (version.token, task))
        return task

    def _route(self) -> StreamTask:
        exact, globs = task_settings.routes()
        if not exact and not globs:
            return self
        route, options = task_settings.route_of(self.registered_name, self.name, self.module_path), self.options
        changes: dict[str, Any] = {}
        for name, option in (("backend", "backend"), ("queue_name", "queue"), ("priority", "priority")):
            wanted = getattr(route, option)
            if wanted is not None and getattr(options, option) is None and wanted != getattr(self, name):
                changes[name] = wanted
        return self.changed(**changes) if changes else self

    def s(self, *args: Any, **kwargs: Any) -> Signature:
        """Return a call that is not enqueued yet. What it follows puts its result before these arguments."""
        return Signature(self.registered_name, args, kwargs, origin=self)

    def si(self, *args: Any, **kwargs: Any) -> Signature:
        """Return a call that gets no result of what it follows."""
        return Signature(self.registered_name, args, kwargs, immutable=True, origin=self)

    def with_options(self, signature: Signature, options: Mapping[str, Any]) -> Signature:
        """Return a signature of this task with further options of ``apply_async()``.

        Raises:
            InvalidTask: an option has an unknown name or a wrong value.
        """
        if not options:
            return signature
        return replace(signature, options=self.called(signature.options.given()).called(options).options)

    def owner_of(self, signature: Signature) -> Owner:
        """Return the owner of the backend that a call goes to; see `streamtasks.tasks.signature.Origin`."""
        backend = signature.options.backend
        found: Owner = owner_of((self.called({"backend": backend}) if backend else self).routed().get_backend())
        return found

    def node_message(self, signature: Signature, position: Position) -> NewMessage:
        """Return a call as a node of a workflow; see `streamtasks.tasks.signature.Origin`."""
        task = self.called(signature.options.given()).routed()
        return owner_of(task.get_backend()).node_message(task, signature, position)  # type: ignore[no-any-return]

    def resolve(self, signature: Signature, tag: str) -> Signature:
        """Return a call with its id and all options; see `streamtasks.tasks.signature.Origin`."""
        task = self.called(signature.options.given()).routed()
        return owner_of(task.get_backend()).resolve_link(task, signature, tag)  # type: ignore[no-any-return]


def _check_one_queue(queue: str, queue_name: str | None, unsaid: str | None) -> None:
    if queue_name not in (unsaid, queue):
        raise InvalidTask(f"queue is {queue!r} and queue_name is {queue_name!r}; they mean the same, so say it once.")


@lru_cache(maxsize=4096, typed=True)
def _check_options(*values: Any) -> None:
    """Check the options of a task, in the order of `_CHECKED`; once, however many copies ``using()`` makes."""
    given = dict(zip(_CHECKED, values, strict=True))
    if not isinstance(given["bind"], bool):
        raise EngineInvalidTask(f"bind is {given['bind']!r}; it must be True or False.")
    said = {name: value for name, value in given.items() if name in _RUN and value is not UNSET}
    RunOptions(**engine_options(said))
    engine_options({"expires": given["expires"]})
    check_rate_limit(given["rate_limit"], given["rate_limit_burst"], given["rate_limit_key"])


@lru_cache(maxsize=4096)
def _run_options(task: StreamTask) -> RunOptions:
    options = task.get_backend().options
    values: dict[str, Any] = {name: getattr(task, name) for name in _RUN}
    if task.max_retries is UNSET:
        values["max_retries"] = task_settings.max_retries(options)
    if task.default_retry_delay is UNSET:
        values["default_retry_delay"] = task_settings.default_retry_delay_s(options)
    return RunOptions(**engine_options(values), has_hooks=task.has_hooks())


def _forget(*, setting: str, **_: Any) -> None:
    if setting in ("TASKS", "TASK_MAX_RETRIES", "TASK_DEFAULT_RETRY_DELAY"):
        _run_options.cache_clear()


setting_changed.connect(_forget, dispatch_uid="streamtasks.stream_task")
