"""What a body is: a function, and what its harm ends besides itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

__all__ = ["BESIDE", "KEPT", "Bodies", "Body"]

BESIDE: Final = ("threads", "async", "mixed")
"""The executors in which others run beside a task in the same child."""

KEPT: Final[list[Any]] = []
"""Keeps objects alive that a body leaves behind."""


class Body(NamedTuple):
    """A hostile task.

    Attributes:
        function: its code; the first line of its docstring says what it does.
        ends: what ends with it: its child, its whole worker, or nothing.
        options: of the task.
        fails: how innocents may fail that need at the same time, in the same process, what this one has used up.
    """

    function: Callable[..., Any]
    ends: Literal["nothing", "child", "worker"] = "nothing"
    options: Mapping[str, Any] = {}
    fails: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def summary(self) -> str:
        return (self.function.__doc__ or "").partition("\n")[0].rstrip(".")

    def harms(self, executor: str) -> set[str]:
        """Return what it may do to innocents: "again" (they run again), "charged" (and are charged), or an outcome."""
        if self.ends == "worker":
            return {"again"}
        if executor not in BESIDE:
            return set()
        return {"again", "charged", *self.fails} if self.ends == "child" or self.fails else set()


class Bodies(list[Body]):
    """Collects the bodies of a file: a decorator, with or without the attributes of `Body`."""

    def __call__(self, **attributes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def collect(function: Callable[..., Any]) -> Callable[..., Any]:
            self.append(Body(function, **attributes))
            return function

        return collect
