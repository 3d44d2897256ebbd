"""Signatures and their options: a call of a task that is not enqueued yet.

A signature has options, and options have signatures (``link``, ``link_error``), so both are defined here.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, Unpack

from ..exceptions import InvalidTask, UnknownOption
from ..protocol.durability import Durability
from ..stores.owner import Owner
from ..stores.types import Limit, NewMessage
from . import options
from .options import WITHOUT_END, check_limit_order, check_options, first_ms, option, seconds, split_parent_id
from .position import Position
from .retry_policy import check_retry_policy, retry_time_s
from .step import ApplyOptions, Step

__all__ = ["NO_OPTIONS", "OPTION_NAMES", "CallOptions", "Origin", "Signature"]

MAX_LINKS: Final = 100
"""At most so many signatures follow one task: all of them are accepted in the step that finishes it."""


class Origin(Protocol):
    """The origin of a signature: a task, or a workflow that a link starts."""

    @property
    def name(self) -> str:
        """The registered name of the task."""
        ...

    def resolve(self, signature: Signature, tag: str) -> Signature:
        """Return the signature with all options set and an id on the shard ``tag``, ready for a worker to run.

        Raises:
            InvalidTask: an option or an argument is wrong.
        """
        ...

    def apply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[ApplyOptions]
    ) -> Any:
        """Enqueue one call; return a handle on its result."""
        ...

    async def aapply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[ApplyOptions]
    ) -> Any:
        """Enqueue one call from an event loop; return a handle on its result."""
        ...

    def node_message(self, signature: Signature, position: Position) -> NewMessage:
        """Return the signature as a node of a workflow.

        Raises:
            InvalidTask: an option or an argument is wrong.
        """
        ...

    def owner_of(self, signature: Signature) -> Owner:
        """Return the owner to which this call is enqueued."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """The options of one call. Where one is left out, the task's own applies. Create it with `of`.

    Attributes:
        queue: the queue's name.
        priority: -100 (last) to 100 (first).
        task_id: the id to use; enqueueing the same id again does nothing.
        countdown: not before so many seconds from now (by the store's clock), or a timedelta.
        eta: not before this time; a naive one is local time.
        expires: not to be started later: seconds from now or a timedelta, or a datetime (a naive one is local time).
        soft_time_limit, time_limit: limits of one attempt, seconds.
        max_retries: how often it may be retried; `WITHOUT_END` for ever.
        default_retry_delay: seconds before a retry that names no delay.
        ignore_result: True: store the outcome, but not the value of a success.
        headers: JSON values that travel with the message, by name.
        link: signatures that run after it succeeded.
        link_error: signatures that run after it finally failed.
        after: the id of an enqueued task that must succeed before this one is run (``link="<id>"``).
        retry: False: enqueueing is tried once, and not repeated while the store cannot be reached.
        retry_policy: how long it is repeated: ``max_retries``, ``interval_start``, ``interval_step``, ``interval_max``.
        durability: what must have the message before enqueueing returns: ``"memory"``, ``"replicated"`` or ``"aof"``;
            None: as the task and the settings say. A workflow is as durable as the most durable call in it.
        backend: the alias of the backend that receives it (Django).
    """

    queue: str | None = option(None, options.queue_name)
    priority: int | None = option(None, options.priority)
    task_id: str | None = option(None, options.task_id)
    countdown: float | timedelta | None = option(None, options.duration)
    eta: datetime | None = option(None, options.moment)
    expires: float | timedelta | datetime | None = option(None, options.duration_or_moment)
    soft_time_limit: float | None = option(None, options.limit)
    time_limit: float | None = option(None, options.limit)
    max_retries: int | None = option(None, options.retries_or_without_end)
    default_retry_delay: float | None = option(None, options.delay)
    ignore_result: bool | None = option(None, options.switch)
    headers: Mapping[str, Any] = field(default_factory=dict, hash=False)
    link: tuple[Signature, ...] = ()
    link_error: tuple[Signature, ...] = ()
    after: str = ""
    retry: bool = option(True, options.switch)
    retry_policy: Mapping[str, Any] | None = option(None, check_retry_policy)
    durability: Durability | None = option(None, options.durability)
    backend: str | None = option(None, options.backend_alias)
    has_times: bool = field(init=False, repr=False, compare=False)
    """Whether a start or an expiry is set."""

    def __post_init__(self) -> None:
        check_options(self)
        options.headers("headers", self.headers)
        if self.countdown is not None and self.eta is not None:
            raise InvalidTask(f"countdown is {self.countdown!r} and eta is {self.eta!r}; give one of them.")
        check_limit_order(self.soft_time_limit, self.time_limit)
        has_times = self.countdown is not None or self.eta is not None or self.expires is not None
        object.__setattr__(self, "has_times", has_times)

    @classmethod
    def of(cls, given: Mapping[str, Any], base: CallOptions | None = None) -> CallOptions:
        """Return the options that a user gave by name, on top of ``base``.

        Raises:
            InvalidTask: one has an unknown name (then it is an `UnknownOption`) or a wrong value; the message names it.
        """
        values: dict[str, Any] = {}
        for name, value in given.items():
            if name not in OPTION_NAMES:
                close = difflib.get_close_matches(str(name), OPTION_NAMES, n=1)
                meant = f" Did you mean {close[0]!r}?" if close else ""
                raise UnknownOption(
                    f"{name!r} is no option of a call.{meant} Known: {', '.join(sorted(OPTION_NAMES))}."
                )
            values[name] = value
        if "max_retries" in values:
            options.retries_or_none("max_retries", values["max_retries"])
            values["max_retries"] = WITHOUT_END if values["max_retries"] is None else values["max_retries"]
        if "link" in values:
            split_parent_id(values)
        for name in ("link", "link_error"):
            if name in values:
                values[name] = _links(name, values[name])
        if "headers" in values and values["headers"] is None:
            values["headers"] = {}
        if base is None:
            return cls(**values)
        # A new start time replaces both ways of giving one.
        if values.get("countdown") is not None:
            values.setdefault("eta", None)
        elif values.get("eta") is not None:
            values.setdefault("countdown", None)
        return replace(base, **values)

    def given(self) -> dict[str, Any]:
        """Return the options that are set, by the names under which a user gives them."""
        if self is NO_OPTIONS:
            return {}
        found = {name: value for name in _FIELD_NAMES if (value := getattr(self, name)) != getattr(NO_OPTIONS, name)}
        if "after" in found:
            found["link"] = [found.pop("after"), *self.link]
        if found.get("max_retries") == WITHOUT_END:
            found["max_retries"] = None
        return found

    def due(self) -> tuple[int | None, int | None]:
        """Return (``due_ms``, ``delay_ms``) of a `NewMessage`, rounded up so that it never starts early."""
        if self.eta is not None:
            return first_ms(self.eta), None
        if self.countdown is not None:
            return None, math.ceil(seconds(self.countdown) * 1000)
        return None, None

    def expiry(self) -> tuple[int, int]:
        """Return (``expires_ms``, ``expires_in_ms``) of a `Message`; 0: not given."""
        if self.expires is None:
            return 0, 0
        if isinstance(self.expires, datetime):
            return max(1, first_ms(self.expires)), 0
        return 0, max(1, round(seconds(self.expires) * 1000))

    def retry_time_s(self) -> float | None:
        """Return how long enqueueing is repeated, seconds; None: as the settings say, 0: one try."""
        if not self.retry:
            return 0.0
        return None if self.retry_policy is None else retry_time_s(self.retry_policy)


_FIELD_NAMES: Final = tuple(one.name for one in fields(CallOptions) if one.init)

OPTION_NAMES: Final = frozenset(_FIELD_NAMES) - {"after"}
"""The names of the options that ``apply_async()`` takes."""

NO_OPTIONS: Final = CallOptions()
"""No option is set: the task's own apply."""


@dataclass(frozen=True, slots=True)
class Signature(Step):
    """A call of a task that can be enqueued later. Immutable: `set` and `clone` return another one.

    Attributes:
        task: the registered name of the task.
        args: positional arguments.
        kwargs: keyword arguments.
        options: the options of the call.
        immutable: no result is put before ``args``.
        limit: the rate limit that counts its start; set when it is resolved.
        origin: the task; None for one that was decoded.
    """

    task: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: CallOptions = NO_OPTIONS
    immutable: bool = False
    limit: Limit | None = None
    origin: Origin | None = field(default=None, compare=False, repr=False)

    def __repr__(self) -> str:
        given = [*map(repr, self.args), *(f"{name}={value!r}" for name, value in self.kwargs.items())]
        return f"{self.task}.{'si' if self.immutable else 's'}({', '.join(given)})"

    def set(  # pyright: ignore[reportIncompatibleMethodOverride]  # one option more
        self, *, immutable: bool | None = None, **options: Unpack[ApplyOptions]
    ) -> Signature:
        """See `Step.set`; ``immutable``: whether no result is put before its arguments."""
        return replace(
            self,
            options=CallOptions.of(options, self.options),
            immutable=self.immutable if immutable is None else immutable,
        )

    def clone(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[ApplyOptions]
    ) -> Signature:
        """Return the same call with more arguments: ``args`` before its own, ``kwargs`` instead of its own."""
        merged = {**self.kwargs, **(kwargs or {})}
        return replace(self, args=(*args, *self.args), kwargs=merged, options=CallOptions.of(options, self.options))

    def with_defaults(self, options: Mapping[str, Any]) -> Signature:
        """See `Step.with_defaults`."""
        own = self.options.given()
        return self.set(**{name: value for name, value in options.items() if name not in own})

    def as_link(self) -> Signature:
        """See `Step.as_link`."""
        return self

    def apply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[ApplyOptions]
    ) -> Any:
        """Enqueue it; see `clone` for the arguments and ``apply_async()`` of the task for the options."""
        call = self.clone(args, kwargs, **options)
        return call.needed_origin().apply_async(call.args, call.kwargs, **call.options.given())

    async def aapply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[ApplyOptions]
    ) -> Any:
        """Enqueue it from an event loop; see `apply_async`."""
        call = self.clone(args, kwargs, **options)
        return await call.needed_origin().aapply_async(call.args, call.kwargs, **call.options.given())

    def needed_origin(self) -> Origin:
        """Return the origin.

        Raises:
            InvalidTask: the signature was decoded, so it has none.
        """
        if self.origin is None:
            raise InvalidTask(f"{self!r} came over the wire; look its task up to enqueue it.")
        return self.origin


def _links(name: str, value: Any) -> tuple[Signature, ...]:
    if value is None:
        return ()
    found = value if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else (value,)
    if len(found) > MAX_LINKS:
        raise InvalidTask(
            f"{name} holds {len(found)} signatures; at most {MAX_LINKS} are let go in the step that finishes a task. "
            f"Make them one: {name}=group(...)."
        )
    signatures: list[Signature] = []
    for given in found:
        if not isinstance(given, Step):
            or_id = ", or the id of a task to run after" if name == "link" else ""
            raise InvalidTask(
                f"{name} is {value!r}; it must be a signature (task.s(...)), a chain, group or chord, a list of "
                f"these{or_id}."
            )
        one: Signature = given.as_link()
        if one.options.after:
            raise InvalidTask(f"{name}: {one!r} is linked to task {one.options.after} already; it can follow only one.")
        if one.options.durability is not None:
            raise InvalidTask(
                f"{name}: {one!r} has durability={one.options.durability!r}, but a link is written with the outcome of "
                "what it follows, which waits for nothing. Leave it out."
            )
        signatures.append(one)
    return tuple(signatures)
