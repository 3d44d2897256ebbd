"""Middleware around attempts: the contexts in which a task's own code runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, nullcontext
from typing import Final

from streamtasks.tasks.attempt import Attempt
from streamtasks.tasks.middleware import Middleware, overrides

__all__ = ["Around"]

_NO_CONTEXT: Final = nullcontext()


class Around:
    """All middleware with something around an attempt, the outermost first."""

    def __init__(self, middleware: Sequence[Middleware]) -> None:
        self._middleware = [m for m in middleware if overrides(m, "around_run", "around_run_async")]

    def __bool__(self) -> bool:
        return bool(self._middleware)

    def context(self, attempt: Attempt) -> AbstractContextManager[object]:
        """Return one context for all of them; those of several are entered already."""
        if len(self._middleware) == 1:
            return self._middleware[0].around_run(attempt)
        for place, middleware in enumerate(self._middleware):
            context = middleware.around_run(attempt)
            if type(context) is not nullcontext:  # a stack costs more than asking
                return self._entered(context, self._middleware[place + 1 :], attempt)
        return _NO_CONTEXT

    @staticmethod
    def _entered(
        first: AbstractContextManager[object], others: Sequence[Middleware], attempt: Attempt
    ) -> AbstractContextManager[object]:
        with ExitStack() as stack:
            stack.enter_context(first)
            for middleware in others:
                stack.enter_context(middleware.around_run(attempt))
            return stack.pop_all()

    async def enter_async(self, stack: AsyncExitStack, attempt: Attempt) -> None:
        """Enter those of a coroutine task, on its event loop."""
        for middleware in self._middleware:
            await stack.enter_async_context(middleware.around_run_async(attempt))
