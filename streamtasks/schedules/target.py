"""Where schedules are kept, and what it makes of what a user says of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

from ..exceptions import InvalidTask
from ..protocol.links import START
from ..stores.owner import Owner
from ..stores.types import NewMessage
from ..tasks.signature import Signature
from .definition import DEFAULT_BOUND_S, Definition
from .rules import rule_of

__all__ = ["Place", "check_repeatable", "definition_of"]


class Place(Owner, Protocol):
    """Where schedules are kept: an app, or a backend alias of Django."""

    @property
    def zone(self) -> str:
        """The zone of rules that name none."""
        ...

    def call(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> Signature:
        """Return a call of a task, which is one or the name of one.

        Raises:
            InvalidTask: there is no such task, or an option is wrong.
        """
        ...

    def resolve(self, signature: Signature) -> Signature:
        """Return the call as it is stored, see `Task.resolve`.

        Raises:
            InvalidTask: an option or an argument is wrong, or the task's calls go elsewhere.
        """
        ...

    def enqueue(self, message: NewMessage) -> Any:
        """Enqueue a call; return a handle on its result."""
        ...

    async def aenqueue(self, message: NewMessage) -> Any:
        """Enqueue a call from an event loop."""
        ...


def definition_of(
    place: Place,
    name: str,
    call: Signature,
    schedule: Any,
    misfire: str = "one",
    misfire_bound: float | timedelta = DEFAULT_BOUND_S,
) -> Definition:
    """Return the definition of a schedule that calls a task of that place.

    Raises:
        InvalidTask: something is wrong.
    """
    check_repeatable(call)
    rule = rule_of(schedule).in_zone(place.zone)
    return Definition.of(name, rule, place.resolve(call), misfire, misfire_bound)


def check_repeatable(call: Signature) -> None:
    """Check what is said of a call that shall happen again and again.

    Raises:
        InvalidTask: an option is for one call only.
    """
    options = call.options
    if not options.retry or options.retry_policy is not None:
        raise InvalidTask(
            "retry and retry_policy say how enqueueing is repeated; a schedule's calls are enqueued by workers."
        )
    pending = [call]
    while pending:
        one = pending.pop()
        if one.options.task_id is not None and one.origin is not None:
            raise InvalidTask(f"task_id is {one.options.task_id!r}; each call of a schedule gets an id of its own.")
        if one.task == START:
            raise InvalidTask(
                "link: a workflow cannot follow what a schedule enqueues, its ids are made only once; link a task that "
                "starts it."
            )
        pending += [*one.options.link, *one.options.link_error]
