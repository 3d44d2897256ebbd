"""The options of a task's definition: how its calls are enqueued and run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final

from ..exceptions import InvalidTask
from ..protocol.call_fields import CALL_FIELDS
from ..protocol.durability import Durability
from . import options
from .options import option, options_of
from .rate_limit import check_rate_limit
from .run_options import RunOptions
from .signature import CallOptions

__all__ = ["DEFINITION_ONLY", "PER_CALL", "USER_NAMES", "TaskOptions", "engine_options"]


def _run_after(name: str, value: Any) -> None:
    if not isinstance(value, (datetime, timedelta)):
        raise InvalidTask(f"{name} is {value!r}; it must be an aware datetime or a timedelta.")
    if isinstance(value, datetime) and value.tzinfo is None:
        raise InvalidTask(f"{name} is {value!r}; give it a time zone.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions(RunOptions):
    """How calls of a task are enqueued and run; the attributes of `RunOptions`, and these.

    Attributes:
        queue: the queue's name.
        priority: -100 (last) to 100 (first).
        run_after: not before this time (an aware datetime), or after this long (a timedelta).
        expires_s: not to be started later than this after it was enqueued, seconds.
        bind: the function gets what runs it (`BoundTask`) before its own arguments.
        rate_limit: most starts, over all workers: per second, or ``"10/m"``, ``"5/s"``, ``"100/h"``, ``"7/d"``; None
            or 0: no limit.
        rate_limit_burst: how many starts may follow each other at once after a pause.
        rate_limit_key: what is limited by itself, each user or tenant: a text, or a function that gets a call's
            arguments and returns one.
        durability: what must have a call before enqueueing returns: ``"memory"``, ``"replicated"`` or ``"aof"``; None:
            as the settings say.

    ``task()`` and ``using()`` take them by their names for users, too (``default_retry_delay``, ``time_limit``,
    ``retry_backoff``, ...; see `USER_NAMES`).
    """

    queue: str = option("default", options.queue_name, name="queue_name")
    priority: int = option(0, options.priority)
    run_after: datetime | timedelta | None = option(None, _run_after)
    expires_s: float | None = option(None, options.limit, name="expires", convert=options.to_limit)
    bind: bool = option(False, options.switch)
    rate_limit: str | float | None = None
    rate_limit_burst: int = 1
    rate_limit_key: str | Callable[..., Any] | None = None
    durability: Durability | None = option(None, options.durability)

    def __post_init__(self) -> None:
        RunOptions.__post_init__(self)  # a bare super() fails in a dataclass with slots
        check_rate_limit(self.rate_limit, self.rate_limit_burst, self.rate_limit_key)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> TaskOptions:
        """Return the options that a user gave, by the names of the fields or by `USER_NAMES`.

        Raises:
            InvalidTask: one is wrong.
        """
        try:
            return cls(**engine_options(given))
        except TypeError as error:
            raise InvalidTask(f"task(): {error}") from error

    def defaults(self, registered: RunOptions) -> CallOptions:
        """Return the options of every call.

        Run options travel only where they differ from the ``registered`` ones, which may change with a release while
        messages wait.
        """
        after = self.run_after
        given: dict[str, Any] = {
            "queue": self.queue,
            "priority": self.priority,
            "countdown": max(timedelta(0), after) if isinstance(after, timedelta) else None,
            "eta": after if isinstance(after, datetime) else None,
            "expires": self.expires_s,
            "durability": self.durability,
        }
        for name, own in PER_CALL.items():
            if getattr(self, own) != getattr(registered, own):
                given[name] = getattr(self, own)
        return CallOptions.of(given)


USER_NAMES: Final[dict[str, tuple[str, Callable[[str, Any], Any] | None]]] = {
    one.name or name: (name, one.convert) for name, one in options_of(TaskOptions).items() if one.name or one.convert
}
"""Name under which users give an option -> the field of `TaskOptions`, and the conversion of its value."""

PER_CALL: Final = {one.option: USER_NAMES[one.option][0] for one in CALL_FIELDS if one.option in USER_NAMES}
"""Options of a call that a definition has, too -> the field of `TaskOptions`."""

DEFINITION_ONLY: Final = frozenset({"bind", *(one.name for one in fields(RunOptions))}) - set(PER_CALL.values())
"""Fields of `TaskOptions` that only a definition may set."""


def engine_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return options that a user gave by the names of their fields; other names are left unchanged.

    Raises:
        InvalidTask: a value is wrong (the message has the name that was given), or an option is given twice.
    """
    found: dict[str, Any] = {}
    for name, value in given.items():
        target, convert = USER_NAMES.get(name, (name, None))
        if target in found or (target != name and target in given):
            raise InvalidTask(f"{name} and {target} are the same option; give one of them.")
        found[target] = value if convert is None else convert(name, value)
    return found
