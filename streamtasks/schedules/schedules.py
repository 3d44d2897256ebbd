"""Manage schedules at run time: ``app.schedules`` and ``backend.schedules``."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from types import CoroutineType
from typing import Any, ClassVar, Concatenate, cast

from ..stores.base import AsyncStore, Store
from .operations import Operation, ScheduleOperations
from .owner import ScheduleOwner
from .schedule import Schedule

__all__ = ["Schedule", "Schedules"]


def _run[T](operation: Operation[T], store: Store) -> T:
    """Run an operation to its end."""
    try:
        request = next(operation)
        while True:
            request = operation.send(request(store))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


async def _arun[T](operation: Operation[T], store: AsyncStore) -> T:
    """Run an operation to its end, from an event loop."""
    try:
        request = next(operation)
        while True:
            request = operation.send(await request(store))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def blocking[**P, T](
    operation: Callable[Concatenate[ScheduleOperations, P], Operation[T]],
) -> Callable[Concatenate[Schedules, P], T]:
    """Make an operation a blocking method with its own signature."""

    def method(self: Schedules, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return _run(operation(self.bound_operations, *args, **kwargs), self.owner.store)

    return update_wrapper(method, operation)


def awaiting[**P, T](
    operation: Callable[Concatenate[ScheduleOperations, P], Operation[T]],
) -> Callable[Concatenate[Schedules, P], CoroutineType[Any, Any, T]]:
    """Make an operation an asynchronous method with its own signature."""

    async def method(self: Schedules, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await _arun(operation(self.bound_operations, *args, **kwargs), self.owner.async_store)

    lifted = update_wrapper(method, operation)
    return cast("Callable[Concatenate[Schedules, P], CoroutineType[Any, Any, T]]", lifted)


class Schedules:
    """The schedules of one app or backend. They are fired by its workers; every process may change them.

    Those that code declares can be paused, resumed and run, but are changed where they are declared.

    Methods that begin with ``a`` are for event loops. All methods raise `StoreUnavailable` and `StoreFull`;
    `ScheduleOperations` describes their arguments and their other errors.
    """

    operations: ClassVar[type[ScheduleOperations]] = ScheduleOperations

    def __init__(self, owner: ScheduleOwner) -> None:
        self.owner = owner
        self.bound_operations = self.operations(owner)

    create = blocking(ScheduleOperations.create)
    acreate = awaiting(ScheduleOperations.create)
    update = blocking(ScheduleOperations.update)
    aupdate = awaiting(ScheduleOperations.update)
    delete = blocking(ScheduleOperations.delete)
    adelete = awaiting(ScheduleOperations.delete)
    pause = blocking(ScheduleOperations.pause)
    apause = awaiting(ScheduleOperations.pause)
    resume = blocking(ScheduleOperations.resume)
    aresume = awaiting(ScheduleOperations.resume)
    get = blocking(ScheduleOperations.get)
    aget = awaiting(ScheduleOperations.get)
    list = blocking(ScheduleOperations.list)
    alist = awaiting(ScheduleOperations.list)

    def run_now(self, name: str) -> Any:
        """Enqueue one call of a schedule now, paused or not; return a handle on its result. Nothing else changes.

        Raises:
            ScheduleNotFound: it does not exist.
            DecodeError: it was made by a later release.
        """
        return self.owner.enqueue(_run(self.bound_operations.call_now(name), self.owner.store))

    async def arun_now(self, name: str) -> Any:
        """Enqueue one call of a schedule now, from an event loop; see `run_now`."""
        message = await _arun(self.bound_operations.call_now(name), self.owner.async_store)
        return await self.owner.aenqueue(message)
