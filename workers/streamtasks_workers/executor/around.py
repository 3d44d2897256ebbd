"""Middleware around attempts: the contexts in which a task's own code runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, nullcontext
from typing import Final

from streamtasks.tasks.attempt import Attempt
from streamtasks.tasks.middleware import Middleware, overrides

__all__ = ["Around"]

_NO_CONTEXT: Final = nullcontext()


class Around:
    """All middleware with something around an attempt, the outermost first.

    Attributes:
        context: returns one context for all of them around an attempt; None: there is none of them.
    """

    def __init__(self, middleware: Sequence[Middleware]) -> None:
        self._middleware = [m for m in middleware if overrides(m, "around_run", "around_run_async")]
        self.context: Callable[[Attempt], AbstractContextManager[object]] | None = None
        if self._middleware:
            self.context = self._middleware[0].around_run if len(self._middleware) == 1 else self._context

    def _context(self, attempt: Attempt) -> AbstractContextManager[object]:
        """Return the context of several, which are entered already."""
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
            context = middleware.around_run_async(attempt)
            if type(context) is not nullcontext:
                await stack.enter_async_context(context)
