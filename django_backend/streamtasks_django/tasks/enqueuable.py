"""The ways to enqueue a task: directly, with options, and as a signature in links and workflows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, Unpack

from streamtasks.exceptions import InvalidTask as EngineInvalidTask
from streamtasks.exceptions import UnknownOption as EngineUnknownOption
from streamtasks.protocol.validation import check_arguments
from streamtasks.tasks.signature import CallOptions, Signature

from ..conf import task_settings, version
from ..exceptions import InvalidTask, UnknownOption
from ..framework import Task as DjangoTask
from ..results.generic_bases import GenericTask
from ..results.owners import owner_of
from .call_options import call_options, django_fields, extra_names, with_columns
from .commit_request import enqueue_on_commit
from .option_types import DjangoApplyOptions

if TYPE_CHECKING:
    from streamtasks.stores.owner import Owner
    from streamtasks.stores.types import NewMessage
    from streamtasks.tasks.position import Position

    from ..results.task_result import StreamTaskResult

__all__ = ["EnqueuableTask"]


class EnqueuableTask[**P, R](GenericTask[P, R]):
    """A task that can be enqueued with options; `StreamTask` adds the definition.

    The slots hold what is derived from a task and from the settings. Copies of a task begin with empty ones.
    """

    __slots__ = ("_plan", "_routed", "_validated")

    if TYPE_CHECKING:
        options: CallOptions

        def get_result(self, result_id: str) -> StreamTaskResult[R]: ...  # type: ignore[override]

        async def aget_result(self, result_id: str) -> StreamTaskResult[R]: ...  # type: ignore[override]

        @property
        def registered_name(self) -> str: ...

        def changed(self, **changes: Any) -> Self: ...

    def enqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> StreamTaskResult[R]:  # type: ignore[override]
        """Enqueue one call to the backend and queue that TASK_ROUTES names."""
        task = self.routed()
        if "self" in kwargs:  # Django's own method has a parameter of that name
            return task.get_backend().enqueue(task, list(args), kwargs)  # type: ignore[return-value]
        # Looked up there, because tracing libraries patch it.
        return DjangoTask.enqueue(task, *args, **kwargs)  # type: ignore[return-value]

    async def aenqueue(self, /, *args: P.args, **kwargs: P.kwargs) -> StreamTaskResult[R]:  # type: ignore[override]
        """Enqueue one call from an event loop."""
        task = self.routed()
        if "self" in kwargs:
            return await task.get_backend().aenqueue(task, list(args), kwargs)  # type: ignore[return-value]
        return await DjangoTask.aenqueue(task, *args, **kwargs)  # type: ignore[return-value]

    def delay(self, /, *args: P.args, **kwargs: P.kwargs) -> StreamTaskResult[R]:
        """Enqueue one call with these arguments."""
        return self.enqueue(*args, **kwargs)

    async def adelay(self, /, *args: P.args, **kwargs: P.kwargs) -> StreamTaskResult[R]:
        """Enqueue one call from an event loop."""
        return await self.aenqueue(*args, **kwargs)

    def apply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[DjangoApplyOptions]
    ) -> StreamTaskResult[R]:
        """Enqueue one call with options; see `streamtasks.CallOptions`.

        A naive ``eta`` or ``expires`` is in Django's current time zone.

        Raises:
            InvalidTask: an option has an unknown name or a wrong value.
        """
        task, positional, named = self._with(args, kwargs, options)
        return task.enqueue(*positional, **named)

    async def aapply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[DjangoApplyOptions]
    ) -> StreamTaskResult[R]:
        """Enqueue one call from an event loop; see `apply_async`."""
        task, positional, named = self._with(args, kwargs, options)
        return await task.aenqueue(*positional, **named)

    # -- with the transaction around it ------------------------------------------------------------

    def delay_on_commit(self, /, *args: P.args, **kwargs: P.kwargs) -> StreamTaskResult[R]:
        """Enqueue one call when the transaction around it is committed; its id is known at once.

        Outside of a transaction it is enqueued at once. See `streamtasks_django.enqueue_on_commit`.
        """
        with enqueue_on_commit():
            return self.enqueue(*args, **kwargs)

    async def adelay_on_commit(self, /, *args: P.args, **kwargs: P.kwargs) -> StreamTaskResult[R]:
        """Enqueue one call from an event loop; the transaction is that of the thread of ``sync_to_async``."""
        with enqueue_on_commit():
            return await self.aenqueue(*args, **kwargs)

    def apply_async_on_commit(
        self,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        using: str | None = None,
        **options: Unpack[DjangoApplyOptions],
    ) -> StreamTaskResult[R]:
        """Enqueue one call with options when the transaction around it is committed; see `apply_async`.

        Args:
            args: positional arguments.
            kwargs: keyword arguments.
            using: the alias of the database; see `streamtasks_django.enqueue_on_commit`.
            **options: as of `apply_async`; a ``countdown`` begins with the commit.

        Raises:
            ConfigurationError: DATABASES has no such alias.
        """
        with enqueue_on_commit(using):
            return self.apply_async(args, kwargs, **options)

    async def aapply_async_on_commit(
        self,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        using: str | None = None,
        **options: Unpack[DjangoApplyOptions],
    ) -> StreamTaskResult[R]:
        """Enqueue one call from an event loop; see `apply_async_on_commit` and `adelay_on_commit`."""
        with enqueue_on_commit(using):
            return await self.aapply_async(args, kwargs, **options)

    def _with(self, args: Any, kwargs: Any, options: Mapping[str, Any]) -> tuple[EnqueuableTask[..., R], Any, Any]:
        try:
            args, kwargs = check_arguments(args, kwargs)
        except EngineInvalidTask as error:
            raise InvalidTask(str(error)) from error
        return self.called(options), args, kwargs

    def called(self, options: Mapping[str, Any]) -> Self:
        """Return the task with these options of a call, set in the fields of Django's own task as well.

        Raises:
            InvalidTask: an option has an unknown name (then it is an `UnknownOption`) or a wrong value.
        """
        if not options:
            return self
        try:
            if extra := extra_names(options):
                alias = options.get("backend") or self.routed().backend
                options = with_columns(options, extra, alias, self.options.headers)
            call = call_options(options, self.options)
        except EngineUnknownOption as error:
            remedy = "Name what belongs to the row of the result, and is no option, in extra_fields of OPTIONS."
            raise UnknownOption(f"{error} {remedy}") from error
        except EngineInvalidTask as error:
            raise InvalidTask(str(error)) from error
        new = self.changed(**django_fields(call, options))
        object.__setattr__(new, "options", call)
        return new

    def routed(self) -> Self:
        """Return the task with the backend, queue and priority of TASK_ROUTES; options of the call take precedence.

        Raises:
            ConfigurationError: TASK_ROUTES is wrong.
            InvalidTask: the backend that it is routed to rejects it.
        """
        known: tuple[object, Self] | None = getattr(self, "_routed", None)
        if known is not None and known[0] is version.token:
            return known[1]
        task = self._route()
        for one in (self, task):
            object.__setattr__(one, "_routed", (version.token, task))
        return task

    def _route(self) -> Self:
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
        """Return a signature. The result of what it follows becomes its first argument."""
        origin: Any = self  # it takes more options than an origin has to
        return Signature(self.registered_name, args, kwargs, origin=origin)

    def si(self, *args: Any, **kwargs: Any) -> Signature:
        """Return an immutable signature: it does not receive the result of what it follows."""
        origin: Any = self
        return Signature(self.registered_name, args, kwargs, immutable=True, origin=origin)

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
