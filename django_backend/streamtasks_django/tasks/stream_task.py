"""The task class of the backends: Django's, with all documented options and ways to call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import InitVar, field, fields, replace
from datetime import timedelta
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Self, Unpack

from django.core.signals import setting_changed
from django.utils import timezone
from django.utils.module_loading import import_string

from streamtasks.exceptions import InvalidTask as EngineInvalidTask
from streamtasks.tasks.attempt import running_attempt
from streamtasks.tasks.rate_limit import limit_of
from streamtasks.tasks.request import BoundTask, Request
from streamtasks.tasks.run_options import RunOptions, check_executor
from streamtasks.tasks.signature import NO_OPTIONS, CallOptions
from streamtasks.tasks.task_options import engine_options
from streamtasks.tasks.unset import UNSET

from ..conf import task_settings
from ..exceptions import InvalidTask
from ..framework import DEFAULT_TASK_QUEUE_NAME
from ..framework import Task as DjangoTask
from ..results.frozen import frozen_like_django
from ..results.metadata import checked
from . import declared_schedules, names
from .definition import CHECKED, RUN, USING, check_definition, engine_run_options, unknown_option
from .enqueuable import EnqueuableTask
from .option_types import DjangoUsingOptions
from .retry_policy import check_policy, policy_of

if TYPE_CHECKING:
    from streamtasks.stores.types import Limit

__all__ = ["StreamTask"]


@frozen_like_django
class StreamTask[**P, R](EnqueuableTask[P, R]):
    """The task that ``@task`` makes on a backend of this package.

    ``run_after`` may be a timedelta, as Django documents it: it counts from the call of ``using()``, and
    the attribute then holds the datetime. A priority that Django accepts (5.0, True) is stored as an int.

    Attributes:
        name: the name in messages; by default the function's name is shown, and messages have its path.
        bind: pass a `streamtasks.BoundTask` as the first argument, ``self``.
        max_retries: how often the task may be retried; None for ever. Unset: TASK_MAX_RETRIES.
        default_retry_delay: delay of a retry that gives none, seconds or a timedelta. Unset:
            TASK_DEFAULT_RETRY_DELAY.
        autoretry_for: exceptions that are retried automatically.
        dont_autoretry_for: exceptions among these that are not.
        retry_backoff: delay before the first automatic retry, doubled each time, seconds; True is 1, False is none.
        retry_backoff_max: upper bound of this delay, seconds.
        retry_jitter: use a random part of this delay.
        max_attempts: most attempts in all; any exception is retried then, unless ``autoretry_for`` names some.
            Provisional.
        backoff: a function of (exception, task_result) that returns the delay before the next attempt, seconds or a
            timedelta, or None: no further attempt. Provisional.
        soft_time_limit: raise `SoftTimeLimitExceeded` in the task after this time, seconds.
        time_limit: end the task for certain after this time, seconds.
        ignore_result: True stores the outcome, but not the value of a success; None: OPTIONS decide.
        executor: ``"inline"`` runs the task alone in its child, on the main thread; see `streamtasks.TaskOptions`.
        expires: do not start the task later than this after it was enqueued, seconds.
        rate_limit: most starts over all workers: ``"10/m"``, ``"5/s"``, ``"100/h"``, ``"7/d"``, or a number per second.
        rate_limit_burst: how many starts may follow each other at once.
        rate_limit_key: limits each key by itself: a string, or a function of the call's arguments that returns one.
        durability: what must have a call before enqueueing returns: ``"memory"``, ``"replicated"`` or ``"aof"``; None:
            OPTIONS decide.
        schedule: a rule by which the task is enqueued repeatedly, or an entry of TASK_SCHEDULE without its task.
        metadata: JSON values that travel with a call and that the running task may change; ``using()`` sets it.
            Provisional.
        options: the options of one call; ``apply_async()`` and ``using()`` fill it.
        queue: an alias of ``queue_name``.
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
    max_attempts: int | None = None
    backoff: Callable[[BaseException, Any], Any] | None = None
    soft_time_limit: Any = None
    time_limit: Any = None
    executor: Any = None
    ignore_result: Any = None
    expires: Any = None
    rate_limit: Any = None
    rate_limit_burst: int = 1
    rate_limit_key: str | Callable[..., Any] | None = None
    durability: Any = None
    schedule: Any = field(default=None, compare=False, hash=False, repr=False)
    metadata: Any = field(default_factory=dict, hash=False)
    options: CallOptions = field(default=NO_OPTIONS, compare=False, hash=False, repr=False)
    queue: InitVar[str | None] = None

    if not TYPE_CHECKING:

        def __new__(cls, *_args, **given):
            """Refuse an unknown option with the name of a similar one, as the generated ``__init__`` would not."""
            if cls.__init__ is StreamTask.__init__:
                cls.check_names(given)
            return object.__new__(cls)

    def __post_init__(self, queue: str | None) -> None:
        put = object.__setattr__
        if queue is not None:
            _check_one_queue(queue, self.queue_name, DEFAULT_TASK_QUEUE_NAME)
            put(self, "queue_name", queue)
        if isinstance(self.run_after, timedelta):
            put(self, "run_after", timezone.now() + self.run_after)
        if not isinstance(self.name, str):
            raise InvalidTask(f"name is {self.name!r}; it must be a string.")
        if not self.name:
            put(self, "name", self.func.__name__)
        self._check()
        DjangoTask.__post_init__(self)  # a bare super() fails in a dataclass with slots
        if type(self.priority) is not int:
            put(self, "priority", int(self.priority))
        if self.metadata:
            put(self, "metadata", checked(self.metadata))
            if not getattr(self.get_backend(), "supports_metadata", False):
                raise InvalidTask(f"metadata is given, but the backend {self.backend!r} does not keep any.")
        elif type(self.metadata) is not dict:
            raise InvalidTask(f"metadata must be a dict; it is {self.metadata!r}.")
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
            check_definition(getattr(self, name) for name in CHECKED)
            check_executor(self.executor, self.func)
            check_policy(self.max_attempts, self.backoff, self.max_retries)
        except EngineInvalidTask as error:
            raise InvalidTask(str(error)) from error

    @classmethod
    def check_names(cls, given: Iterable[str]) -> None:
        """Check the names of options.

        Raises:
            TypeError: one is unknown.
        """
        known = _option_names()
        for name in given:
            if name not in known:
                raise TypeError(f"{cls.__name__}() got an {unknown_option(name, known - {'func', 'options'})}")

    # -- for the layers above --------------------------------------------------------------------

    @property
    def registered_name(self) -> str:
        """The name of the task in messages: its own ``name``, else its path."""
        return self.name if self.name != self.func.__name__ else self.module_path

    def run_options(self) -> RunOptions:
        """Return how the task is run: its own options, then OPTIONS of its backend, then the settings.

        Raises:
            ConfigurationError: a setting is wrong.
        """
        return _run_options(self)

    def limit_of(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Limit | None:
        """Return the rate limit that the start of a call counts against, None if there is none.

        Raises:
            InvalidTask: ``rate_limit_key`` returns no string, or raises.
        """
        if not self.rate_limit:
            return None
        return limit_of(self.registered_name, self.rate_limit, self.rate_limit_burst, self.rate_limit_key, args, kwargs)

    @classmethod
    def bare(cls, func: Callable[..., Any], name: str) -> dict[str, Any]:
        """Return the values of all fields of a task whose definition is not known here."""
        values = {one.name: one.default for one in fields(cls)}
        return {**values, "func": func, "takes_context": False, "name": name, "metadata": {}}

    def has_hooks(self) -> bool:
        """Return whether the task has hooks that receive outcomes."""
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
        # Django 6.0 has no such method, and tasks could not be pickled.
        kwargs = {one.name: getattr(self, one.name) for one in fields(self)}
        kwargs["func"] = self.module_path
        return (self.__class__._reconstruct, (kwargs,))

    # -- run ----------------------------------------------------------------------------------

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now."""
        return self.call(*args, **kwargs)

    def call(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here; a bound one gets its ``self``."""
        whole: Any = self._arguments(args, kwargs)
        return DjangoTask.call(self, *whole, **kwargs)

    async def acall(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a coroutine function on this event loop, a plain function on another thread."""
        whole: Any = self._arguments(args, kwargs)
        return await DjangoTask.acall(self, *whole, **kwargs)

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        return (BoundTask(self, self._request(args, kwargs), self.run_options()), *args) if self.bind else args

    def _request(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request:
        attempt = running_attempt()
        if attempt is not None and attempt.message.task in (self.registered_name, self.module_path):
            return Request.of(attempt)
        return Request(task=self.registered_name, args=list(args), kwargs=kwargs)

    # -- enqueue -------------------------------------------------------------------------------

    def using(self, **options: Unpack[DjangoUsingOptions]) -> Self:
        """Return the task with other options: Django's, ``queue``, ``expires``, limits and retries.

        Raises:
            InvalidTask: a value is wrong, or the option belongs to the definition of the task.
            TypeError: an option is unknown.
        """
        changes: dict[str, Any] = dict(options)
        queue = changes.pop("queue", None)
        if queue is not None:
            _check_one_queue(queue, changes.get("queue_name"), None)
            changes["queue_name"] = queue
        for name in changes:
            if name not in USING:
                if name in _option_names():
                    raise InvalidTask(f"{name} belongs to the definition of a task; using() cannot change it.")
                raise TypeError(f"{type(self).__name__}.using() got an {unknown_option(name, USING)}")
        for name in ("priority", "queue_name", "run_after", "backend", "metadata"):
            if changes.get(name, UNSET) is None:
                del changes[name]
        new = self.changed(**changes)
        given = {
            option: getattr(new, name)
            for name, option in (("priority", "priority"), ("queue_name", "queue"), ("backend", "backend"))
            if name in changes
        }
        if "run_after" in changes:
            given.update(countdown=None, eta=None)
        if given:
            object.__setattr__(new, "options", CallOptions.of(given, self.options))
        return new

    def changed(self, **changes: Any) -> Self:
        """Return the task with other values of these fields, checked."""
        return replace(self, **changes)


def _check_one_queue(queue: str, queue_name: str | None, unset: str | None) -> None:
    if queue_name not in (unset, queue):
        raise InvalidTask(f"queue is {queue!r} and queue_name is {queue_name!r}; they mean the same, so give one.")


@cache
def _option_names() -> frozenset[str]:
    return frozenset({"queue", *(one.name for one in fields(StreamTask))})


@lru_cache(maxsize=4096)
def _run_options(task: StreamTask[..., Any]) -> RunOptions:
    backend = task.get_backend()
    options = backend.options
    values: dict[str, Any] = {name: getattr(task, name) for name in RUN}
    if task.max_retries is UNSET:
        values["max_retries"] = task_settings.max_retries(options)
    if task.default_retry_delay is UNSET:
        values["default_retry_delay"] = task_settings.default_retry_delay_s(options)
    values |= policy_of(task, getattr(backend, "params", {}))
    return engine_run_options(values, has_hooks=task.has_hooks())


def _forget(*, setting: str, **_: Any) -> None:
    if setting in ("TASKS", "TASK_MAX_RETRIES", "TASK_DEFAULT_RETRY_DELAY"):
        _run_options.cache_clear()


setting_changed.connect(_forget, dispatch_uid="streamtasks.stream_task")
