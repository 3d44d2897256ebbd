"""The owner of schedules, and how a call that a user describes becomes the definition of a schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

from ..exceptions import InvalidTask
from ..protocol.links import START
from ..protocol.validation import check_arguments
from ..stores.owner import Owner
from ..stores.types import NewMessage
from ..tasks.signature import Signature
from .definition import DEFAULT_BOUND_S, Definition
from .rules import rule_of

__all__ = ["ScheduleOwner", "check_repeatable", "definition_of", "make_signature"]


class ScheduleOwner(Owner, Protocol):
    """The app or backend alias that owns schedules."""

    @property
    def timezone(self) -> str:
        """The time zone of rules that name none."""
        ...

    def signature_of(
        self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Signature:
        """Return a call of a task, which is given itself, by its name, or as a signature.

        Raises:
            InvalidTask: there is no such task, or an option is wrong.
        """
        ...

    def resolve(self, signature: Signature) -> Signature:
        """Return the call as it is stored; see `Task.resolve`.

        Raises:
            InvalidTask: an option or an argument is wrong, or the task belongs to another owner.
        """
        ...

    def enqueue(self, message: NewMessage) -> Any:
        """Enqueue one call; return a handle on its result."""
        ...

    async def aenqueue(self, message: NewMessage) -> Any:
        """Enqueue one call from an event loop."""
        ...


def make_signature(task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Signature:
    """Return the call that a task with arguments, or a signature alone, describes.

    Raises:
        InvalidTask: ``task`` is neither, or a signature is given with arguments.
    """
    args, kwargs = check_arguments(args, kwargs)
    if isinstance(task, Signature):
        if args or kwargs:
            raise InvalidTask(f"task is {task!r}, a signature; it has the arguments already.")
        return task
    if not hasattr(task, "si"):
        raise InvalidTask(f"task is {task!r}; it must be a task, its name, or a signature (task.s(...)).")
    made: Signature = task.si(*args, **kwargs)
    return made


def definition_of(
    owner: ScheduleOwner,
    name: str,
    call: Signature,
    schedule: Any,
    misfire: str = "one",
    misfire_bound: float | timedelta = DEFAULT_BOUND_S,
) -> Definition:
    """Return the definition of a schedule that calls a task of this owner.

    Raises:
        InvalidTask: an argument or an option of the call is wrong.
    """
    check_repeatable(call)
    rule = rule_of(schedule).in_zone(owner.timezone)
    return Definition.of(name, rule, owner.resolve(call), misfire, misfire_bound)


def check_repeatable(call: Signature) -> None:
    """Check that a call can be repeated.

    Raises:
        InvalidTask: an option is valid for a single call only.
    """
    options = call.options
    if not options.retry or options.retry_policy is not None:
        raise InvalidTask(
            "retry and retry_policy say how enqueueing is repeated; a schedule's calls are enqueued by workers."
        )
    if options.durability is not None:
        raise InvalidTask(
            f"durability is {options.durability!r}, but a schedule's calls are enqueued by workers, which wait for "
            "nothing. Leave it out."
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
