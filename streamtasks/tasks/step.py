"""Parts of workflows, and the options of a call as type checkers know them.

A step takes options, and options have steps (``link``, ``link_error``), so both are defined here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self, TypedDict, Unpack

from ..protocol.durability import Durability

__all__ = ["AnyChain", "ApplyOptions", "Step"]


class ApplyOptions(TypedDict, total=False):
    """The keyword arguments of ``apply_async()`` and of signatures; `streamtasks.CallOptions` describes them."""

    queue: str | None
    priority: int | None
    task_id: str | None
    countdown: float | timedelta | None
    eta: datetime | None
    expires: float | timedelta | datetime | None
    soft_time_limit: float | None
    time_limit: float | None
    max_retries: int | None
    default_retry_delay: float | None
    ignore_result: bool | None
    headers: Mapping[str, Any] | None
    link: Step | str | Sequence[Step | str] | None
    link_error: Step | Sequence[Step] | None
    retry: bool
    retry_policy: Mapping[str, Any] | None
    durability: Durability | None
    backend: str | None


class Step(ABC):
    """A part of a workflow: a signature, or a chain, group or chord of them. Immutable."""

    __slots__ = ()

    chained: ClassVar[Callable[[Step, Step], AnyChain]]
    """The function of ``|``. `streamtasks.workflows.canvas` sets it: a signature has the operator, but chains are built
    from signatures, so this module cannot import them."""

    def __or__(self, other: Step) -> AnyChain:
        """Return a chain: this step, then the other one with this one's result."""
        return Step.chained(self, other)

    @abstractmethod
    def set(self, **options: Unpack[ApplyOptions]) -> Self:
        """Return the same step with other options, as ``apply_async()`` takes them.

        Raises:
            InvalidTask: an option has an unknown name or a wrong value.
        """

    @abstractmethod
    def clone(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[ApplyOptions]
    ) -> Self:
        """Return the same step with more arguments and other options."""

    @abstractmethod
    def with_defaults(self, options: Mapping[str, Any]) -> Self:
        """Return the same step with these options where it has none of its own."""

    @abstractmethod
    def as_link(self) -> Any:
        """Return the step as a `Signature` that a link can hold."""

    @abstractmethod
    def apply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[ApplyOptions]
    ) -> Any:
        """Enqueue it with more arguments and other options; return a handle on its result."""

    @abstractmethod
    async def aapply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[ApplyOptions]
    ) -> Any:
        """Enqueue it from an event loop; see `apply_async`."""

    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """Enqueue it with more arguments; see `apply_async`."""
        return self.apply_async(args, kwargs)


class AnyChain(Step):
    """The type of chains where `streamtasks.workflows.canvas.Chain`, its only subclass, cannot be imported."""

    __slots__ = ()

    @property
    @abstractmethod
    def steps(self) -> tuple[Step, ...]:
        """The steps, in their order."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Enqueue it."""
