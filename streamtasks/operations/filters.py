"""Which tasks a list or a bulk operation is about: one grammar for command line, dashboard and API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self

from ..exceptions import InvalidTask
from ..protocol.keys import check_queue
from ..protocol.message import Message

__all__ = ["DEAD", "TaskFilter"]

DEAD: Final = "dead"
"""The state that stands for dead letters."""


class TaskFilter(NamedTuple):
    """What a task must be to be meant; what is empty does not matter.

    Attributes:
        state: one of `inspect.STATES`, or `DEAD`: dead letters.
        queue: the name of its queue.
        task: the name of the task.
        after_ms: it was enqueued, has ended or has become a dead letter at this time or later, ms since the epoch.
        before_ms: before this time.
        error: of finished ones the type of its error, with or without its module; of dead letters also the reason.
        args: of each argument, by its name or, of positional ones, its number from 0, the value.
        headers: the same of headers.
    """

    state: str = DEAD
    queue: str = ""
    task: str = ""
    after_ms: int = 0
    before_ms: int = 0
    error: str = ""
    args: Mapping[str, Any] = {}
    headers: Mapping[str, Any] = {}

    @property
    def needs_message(self) -> bool:
        """Whether it can only be known of a task whose message can be read."""
        return bool(self.queue or self.task or self.args or self.headers)

    def check(self) -> Self:
        """Return it if it can be one.

        Raises:
            UnknownQueue: the queue cannot be one.
            InvalidTask: the times are the wrong way round.
        """
        if self.queue:
            check_queue(self.queue)
        if self.before_ms and self.after_ms >= self.before_ms:
            raise InvalidTask(
                f"after_ms is {self.after_ms} and before_ms {self.before_ms}; no task is in between: give an earlier "
                "and a later time."
            )
        return self

    def accepts(self, message: Message | None, at_ms: int, errors: tuple[str, ...] = ()) -> bool:
        """Return whether a task is meant.

        Args:
            message: of it; None: it cannot be read.
            at_ms: when it was enqueued or has ended, ms since the epoch.
            errors: type and reason of its end, as far as they are known.
        """
        if at_ms < self.after_ms or (self.before_ms and at_ms >= self.before_ms):
            return False
        if self.error and not any(self.error in (one, one.rpartition(".")[2]) for one in errors):
            return False
        return not self.needs_message or (message is not None and self._accepts_call(message))

    def _accepts_call(self, message: Message) -> bool:
        if (self.queue and message.queue != self.queue) or (self.task and message.task != self.task):
            return False
        if not all(_is(message.headers.get(name, _MISSING), value) for name, value in self.headers.items()):
            return False
        return all(_is(_argument(message, name), value) for name, value in self.args.items())

    def text(self) -> str:
        """Return it in one line, as it stands on the command line."""
        words = [f"state={self.state}"]
        words += [f"{name}={value}" for name, value in self._asdict().items() if name in _WORDS and value]
        for what, values in (("arg", self.args), ("header", self.headers)):
            words += [f"{what}.{name}={json.dumps(value)}" for name, value in values.items()]
        return " ".join(words)


_WORDS: Final = ("queue", "task", "after_ms", "before_ms", "error")
_MISSING: Final = object()


def _argument(message: Message, name: str) -> Any:
    if name.isdecimal() and int(name) < len(message.args):
        return message.args[int(name)]
    return message.kwargs.get(name, _MISSING)


def _is(found: Any, wanted: Any) -> bool:
    """Return whether two JSON values are the same: True is not 1."""
    return bool(found == wanted) and isinstance(found, bool) == isinstance(wanted, bool)
