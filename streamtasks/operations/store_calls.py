"""Operations as steps that ask a store, so that each is written once and runs blocking or on an event loop."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import update_wrapper
from typing import Any, NamedTuple

from ..stores.base import AsyncStore, Store

__all__ = ["Steps", "StoreCall", "StoreOperation", "ask"]


class StoreCall(NamedTuple):
    """A call of a store's method, or the value of a property, that a step waits for."""

    name: str
    args: tuple[Any, ...]
    options: dict[str, Any]

    def begin(self, store: Any) -> Any:
        """Return the answer of a blocking store; of an asynchronous one what is to be awaited, or a property."""
        found = getattr(store, self.name)
        return found(*self.args, **self.options) if callable(found) else found


type Steps[T] = Generator[StoreCall, Any, T]
"""What an operation is written as: it yields calls, is sent their answers, and returns its own."""


def ask(name: str, *args: Any, **options: Any) -> StoreCall:
    """Return a call of the store's method of that name."""
    return StoreCall(name, args, options)


class StoreOperation[**P, T]:
    """An operation: call it with a `Store` first, or its `awaiting` with an `AsyncStore`.

    Attributes:
        steps: without a store, for other operations: ``yield from tasks.steps(...)``.
    """

    def __init__(self, steps: Callable[P, Steps[T]]) -> None:
        update_wrapper(self, steps)
        self.steps = steps

    def __call__(self, store: Store, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Ask a blocking store."""
        steps, answer = self.steps(*args, **kwargs), None
        while True:
            try:
                call = steps.send(answer)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            answer = call.begin(store)

    async def awaiting(self, store: AsyncStore, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Ask a store of event loops; no thread is needed."""
        steps, answer = self.steps(*args, **kwargs), None
        while True:
            try:
                call = steps.send(answer)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            answer = call.begin(store)
            if hasattr(answer, "__await__"):
                answer = await answer
