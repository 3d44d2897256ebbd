"""A task: a registered function and the methods that enqueue its calls."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import update_wrapper
from pathlib import Path
from typing import Any, Self, Unpack

from ..exceptions import InvalidTask
from ..protocol.heard import EVERYTHING, NOTHING
from ..protocol.message import Message
from ..protocol.validation import check_arguments
from ..results import Result
from ..settings import StoreSettings
from ..stores.owner import Owner
from ..stores.types import Limit, NewMessage
from .attempt import Attempt, AttemptOutcome
from .enqueue import Pipeline, assign_id, check_limits, merge_options, pack
from .frame import Frame
from .middleware import around_enqueue_many
from .option_types import UsingOptions
from .position import Position
from .rate_limit import limit_of
from .request import BoundTask, Request
from .resolved import resolve_signature
from .run_options import RunOptions, check_executor
from .signature import CallOptions, Signature
from .step import ApplyOptions
from .task_options import DEFINITION_ONLY, TaskOptions, engine_options

__all__ = ["CoroutineTask", "Task", "name_of"]


def name_of(function: Callable[..., Any]) -> str:
    """Return the name a function is registered under: its module's and its own.

    A function of the script that runs gets the name the script has when it is imported.
    """
    module = function.__module__
    if module == "__main__":
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        module = spec.name if spec is not None else Path(getattr(main, "__file__", "__main__")).stem
    return f"{module}.{function.__qualname__}"


class Task[**P, R]:
    """A registered function. Call it to run it here; `enqueue` to run it in a worker."""

    def __init__(
        self,
        pipeline: Pipeline,
        function: Callable[..., Any],
        name: str,
        options: TaskOptions,
        registered: TaskOptions | None = None,
    ) -> None:
        self._pipeline = pipeline
        self.function = function
        self.name = name
        self.options = options
        self.is_async = inspect.iscoroutinefunction(function)
        check_executor(options.executor, function)
        self._registered = registered or options
        self._defaults = options.defaults(self._registered)
        self._checked: CallOptions | None = None
        self._framed: tuple[StoreSettings, Frame | None] | None = None
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now."""
        if self.options.bind:
            return self.function(self._bound(Request.here(self.name, args, kwargs)), *args, **kwargs)  # type: ignore[no-any-return]
        return self.function(*args, **kwargs)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<Task {self.name}>"

    @property
    def run_options(self) -> RunOptions:
        """See `Runnable`."""
        return self.options

    def run(self, attempt: Attempt) -> Any:
        """See `Runnable.run`."""
        function = self.function
        message = attempt.message
        if self.options.bind:
            return function(self._bound(Request.of(attempt)), *message.args, **message.kwargs)
        return function(*message.args, **message.kwargs)

    def check_call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """See `Runnable.check_call`."""
        inspect.signature(self.function).bind(*((None,) if self.options.bind else ()), *args, **kwargs)

    def before_start(self, attempt: Attempt) -> None:
        """See `Runnable.before_start`; a function has no hooks."""

    def after(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        """See `Runnable.after`."""

    def using(self, **options: Unpack[UsingOptions]) -> Self:
        """Return the same task with other options (see `TaskOptions`).

        Raises:
            InvalidTask: an option is wrong, or belongs to the definition of the task: workers know only that one.
        """
        given = engine_options(options)
        for name in given:
            if name in DEFINITION_ONLY:
                raise InvalidTask(f"{name} belongs to the definition of a task; using() cannot change it.")
        try:
            changed = replace(self.options, **given)
        except TypeError as error:
            raise InvalidTask(f"using(): {error}") from error
        return self.changed(changed)

    def changed(self, options: TaskOptions) -> Self:
        """Return the same task with other, checked options."""
        return type(self)(self._pipeline, self.function, self.name, options, self._registered)

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Result[R]:
        """Enqueue one call; return a handle on its result.

        Raises:
            InvalidTask: JSON cannot carry an argument.
            PayloadTooLarge: the call takes more than ``max_payload_bytes``.
            StoreUnavailable: no answer from the store in ``timeout_s``.
            StoreFull: the server is out of memory.
            NotDurable: it is enqueued, but not as durable as was asked for.
        """
        return self._pipeline.send([self._new(args, kwargs, self._defaults)])[0]

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Result[R]:
        """Enqueue one call from an event loop; see `enqueue`."""
        return (await self._pipeline.asend([self._new(args, kwargs, self._defaults)]))[0]

    delay = enqueue
    adelay = aenqueue

    def apply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[ApplyOptions]
    ) -> Result[R]:
        """Enqueue one call with options of its own (see `CallOptions`, and `enqueue` for errors).

        Raises:
            InvalidTask: an option has an unknown name or a wrong value.
            TaskIdInUse: ``task_id`` is the id of another call.
        """
        call = CallOptions.of(options, self._defaults)
        message = self._new(*check_arguments(args, kwargs), call)
        return self._pipeline.send([message], call.retry_time_s(), own_id=call.task_id is not None)[0]

    async def aapply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[ApplyOptions]
    ) -> Result[R]:
        """Enqueue one call from an event loop; see `apply_async`."""
        call = CallOptions.of(options, self._defaults)
        message = self._new(*check_arguments(args, kwargs), call)
        return (await self._pipeline.asend([message], call.retry_time_s(), own_id=call.task_id is not None))[0]

    def enqueue_many(self, calls: Iterable[tuple[Any, ...] | dict[str, Any]]) -> list[Result[R]]:
        """Enqueue many calls in one round trip, in order: a tuple of arguments or a dict of keyword arguments each."""
        with around_enqueue_many(self._pipeline.middleware):
            return self._pipeline.send(
                [self._new(*(((), call) if isinstance(call, dict) else (call, {})), self._defaults) for call in calls]
            )

    def s(self, *args: Any, **kwargs: Any) -> Signature:
        """Return a signature. The result of what it follows is put before these arguments."""
        return Signature(self.name, args, kwargs, origin=self)

    def si(self, *args: Any, **kwargs: Any) -> Signature:
        """Return an immutable signature: no result is put before its arguments."""
        return Signature(self.name, args, kwargs, immutable=True, origin=self)

    def message(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Message:
        """Return one call as a message, not yet enqueued."""
        return self._message(args, kwargs, self._defaults)

    def resolve(self, signature: Signature, tag: str) -> Signature:
        """See `Origin.resolve`."""
        settings = self._pipeline.owner.settings
        call = assign_id(merge_options(signature, self._defaults), tag, settings.tags)
        message = self._message(signature.args, signature.kwargs, call)
        message.encode(settings.max_payload_bytes)  # raises now what would fail in the worker
        return resolve_signature(signature, message, call, self.limit_of(signature.args, signature.kwargs))

    def node_message(self, signature: Signature, position: Position) -> NewMessage:
        """See `Origin.node_message`."""
        call = merge_options(signature, self._defaults, task_id=position.id)
        args = (*position.before, *signature.args)
        message = position.applied_to(self._message(args, signature.kwargs, call))
        limit = self.limit_of(args, signature.kwargs)
        return pack(message, call, limit, self._pipeline.owner.settings, self._hears())

    def owner_of(self, signature: Signature) -> Owner:  # noqa: ARG002
        """See `Origin.owner_of`."""
        return self._pipeline.owner

    def limit_of(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Limit | None:
        """Return the rate limit that the start of a call counts against; None: none."""
        own = self.options
        if own.rate_limit is None:
            return None
        return limit_of(self.name, own.rate_limit, own.rate_limit_burst, own.rate_limit_key, args, kwargs)

    def _new(self, args: Sequence[Any], kwargs: Mapping[str, Any], call: CallOptions) -> NewMessage:
        if call is self._checked and not self._pipeline.middleware and self.options.rate_limit is None:
            frame = self._frame(call)
            hears = EVERYTHING if self._registered.has_hooks else NOTHING
            if frame is not None and (framed := frame.message(args, kwargs, hears)) is not None:
                return framed
        message = self._message(args, kwargs, call)
        limit = None if self.options.rate_limit is None else self.limit_of(args, kwargs)
        return pack(message, call, limit, self._pipeline.owner.settings, self._hears())

    def _frame(self, call: CallOptions) -> Frame | None:
        settings, known = self._pipeline.owner.settings, self._framed
        if known is None or known[0] is not settings:
            known = self._framed = (settings, Frame.of(self.name, call, settings))
        return known[1]

    def _hears(self) -> str:
        """Return what is heard of an end that no child has seen."""
        return EVERYTHING if self._registered.has_hooks else self._pipeline.hears

    def _message(self, args: Sequence[Any], kwargs: Mapping[str, Any], call: CallOptions) -> Message:
        if call is not self._checked:
            check_limits(call, self.options.soft_time_limit_s, self.options.time_limit_s)
            self._pipeline.check(call)
            if call is self._defaults:
                self._checked = call
        return self._pipeline.message(self.name, args, kwargs, call)

    def _bound(self, request: Request) -> BoundTask:
        return BoundTask(self, request, self.options)


class CoroutineTask[**P, R](Task[P, R]):
    """A registered coroutine function; ``R`` is what its coroutine returns."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:  # type: ignore[override]
        """Return the coroutine, to be awaited here."""
        coroutine: Any = super().__call__(*args, **kwargs)
        return coroutine  # type: ignore[no-any-return]
