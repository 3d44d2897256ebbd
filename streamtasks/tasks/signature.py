"""Signatures: a call of a task that is not enqueued yet, to be handed around, linked to others, and enqueued later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..exceptions import DecodeError, InvalidTask
from ..protocol.links import check_signature
from ..stores.owner import Owner
from ..stores.types import Limit, NewMessage
from .call_options import NO_OPTIONS, CallOptions, given_options, seconds
from .position import Position

if TYPE_CHECKING:
    from ..workflows.canvas import Chain, Step

__all__ = ["Origin", "Signature"]


class Origin(Protocol):
    """What a signature was made from: a task, or a workflow that a link starts."""

    @property
    def name(self) -> str: ...

    def resolve(self, signature: Signature, tag: str) -> Signature:
        """Return the signature with all options set and an id on the shard ``tag``, ready for a worker to run.

        Raises:
            InvalidTask: an option or an argument is wrong.
        """
        ...

    def apply_async(self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """Enqueue one call."""
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


@dataclass(frozen=True, slots=True)
class Signature:
    """A call of a task that can be enqueued later. Immutable: `set` and `clone` return another one.

    Attributes:
        task: the registered name of the task.
        args: positional arguments.
        kwargs: keyword arguments.
        options: what is said of the call.
        immutable: what it follows does not put a result before ``args``.
        limit: the rate limit its start counts against; found out when it is enqueued.
        origin: the task; None for one that came over the wire.
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

    def __or__(self, other: Step) -> Chain:
        """Return a chain: this, then the other one with this one's result."""
        from ..workflows.canvas import chain

        return chain(self, other)

    def set(self, *, immutable: bool | None = None, **options: Any) -> Signature:
        """Return the same call with other options, as ``apply_async()`` has them.

        Raises:
            InvalidTask: an option has an unknown name or a wrong value.
        """
        return replace(
            self,
            options=CallOptions.of(options, self.options),
            immutable=self.immutable if immutable is None else immutable,
        )

    def clone(self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any) -> Signature:
        """Return the same call with more arguments: ``args`` stand before its own, ``kwargs`` win over its own."""
        merged = {**self.kwargs, **(kwargs or {})}
        return replace(self, args=(*args, *self.args), kwargs=merged, options=CallOptions.of(options, self.options))

    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """Enqueue it; see `clone` for the arguments."""
        return self._enqueue(self.clone(args, kwargs))

    def apply_async(self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """Enqueue it; see `clone` for the arguments and ``apply_async()`` of the task for the options."""
        return self._enqueue(self.clone(args, kwargs, **options))

    @staticmethod
    def _enqueue(signature: Signature) -> Any:
        if signature.origin is None:
            raise InvalidTask(f"{signature!r} came over the wire; look its task up to enqueue it.")
        return signature.origin.apply_async(signature.args, signature.kwargs, **given_options(signature.options))

    # -- on the wire ---------------------------------------------------------------------------------

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON carries it.

        ``task``, ``args``, ``kwargs``, ``immutable``; and where given ``id``, ``queue``, ``priority``, ``limit``
        (name, interval in us, burst), ``delay_s`` or ``due_ms``, ``expires_s`` or ``expires_ms``, and as in an
        envelope ``r`` (retries), ``l`` (time limits), ``h`` (headers), ``ok`` and ``er`` (what follows).
        """
        options = self.options
        due_ms, delay_ms = options.due()
        absolute = isinstance(options.expires, datetime)
        more: dict[str, Any] = {
            "id": options.task_id,
            "queue": options.queue,
            "priority": options.priority,
            "limit": list(self.limit) if self.limit is not None else None,
            "delay_s": delay_ms / 1000 if delay_ms is not None else None,
            "due_ms": due_ms,
            "expires_s": None if absolute else seconds(options.expires),
            "expires_ms": options.expires_ms(0) if absolute else None,
            "r": _pair("max", options.max_retries, "delay", options.default_retry_delay),
            "l": _pair("soft", options.soft_time_limit, "hard", options.time_limit),
            "h": dict(options.headers) or None,
            "ok": [link.as_dict() for link in options.link] or None,
            "er": [link.as_dict() for link in options.link_error] or None,
        }
        return {
            "task": self.task,
            "args": list(self.args),
            "kwargs": dict(self.kwargs),
            "immutable": self.immutable,
            **{name: value for name, value in more.items() if value is not None},
        }

    @classmethod
    def from_dict(cls, wire: Any, origin: Origin | None = None) -> Signature:
        """Read what `as_dict` made.

        Raises:
            DecodeError: it is something else.
        """
        check_signature(wire)
        retry, limits = wire.get("r") or _NOTHING, wire.get("l") or _NOTHING
        given: dict[str, Any] = {
            "task_id": wire.get("id"),
            "queue": wire.get("queue"),
            "priority": wire.get("priority"),
            "countdown": wire.get("delay_s"),
            "eta": _moment(wire.get("due_ms")),
            "expires": _moment(wire.get("expires_ms")) or wire.get("expires_s"),
            "max_retries": retry.get("max"),
            "default_retry_delay": retry.get("delay"),
            "soft_time_limit": limits.get("soft"),
            "time_limit": limits.get("hard"),
            "headers": wire.get("h") or {},
            "link": tuple(cls.from_dict(one) for one in wire.get("ok") or ()),
            "link_error": tuple(cls.from_dict(one) for one in wire.get("er") or ()),
        }
        limit = wire.get("limit")
        try:
            options = CallOptions(**given)
        except InvalidTask as error:
            raise DecodeError(f"a signature holds a wrong value: {error}") from error
        return cls(
            wire["task"],
            tuple(wire["args"]),
            wire["kwargs"],
            options,
            wire["immutable"],
            Limit(*limit) if limit is not None else None,
            origin,
        )


_NOTHING: Final[dict[str, Any]] = {}


def _pair(first: str, one: Any, second: str, other: Any) -> dict[str, Any] | None:
    return None if one is None and other is None else {first: one, second: other}


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)
