"""The decorators that `StreamTasks.task` returns, as type checkers know them.

Each tells a coroutine function from a plain one, which an overload of ``task()`` cannot: it does not see the function.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Protocol, overload

from .request import BoundTask
from .task import CoroutineTask, Task

__all__ = ["BoundDecorator", "Decorator"]


class Decorator(Protocol):
    """Make a task of a function."""

    @overload
    def __call__[**P, R](self, function: Callable[P, Coroutine[Any, Any, R]], /) -> CoroutineTask[P, R]: ...
    @overload
    def __call__[**P, R](self, function: Callable[P, R], /) -> Task[P, R]: ...


class BoundDecorator(Protocol):
    """Make a task of a function whose first argument is ``self``, the `BoundTask`."""

    @overload
    def __call__[**P, R](
        self, function: Callable[Concatenate[BoundTask, P], Coroutine[Any, Any, R]], /
    ) -> CoroutineTask[P, R]: ...
    @overload
    def __call__[**P, R](self, function: Callable[Concatenate[BoundTask, P], R], /) -> Task[P, R]: ...
