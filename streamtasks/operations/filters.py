"""Which tasks a list or a bulk operation is about; `filter_text` reads one from a text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Self

from ..exceptions import InvalidTask
from ..protocol.keys import check_queue
from ..protocol.message import Message
from ..protocol.state import FINAL_STATES, DeadLetter
from .inspect import OUTCOMES, STATES, TaskView

__all__ = ["DEAD", "FILTER_STATES", "TaskFilter", "argument_term", "term"]

DEAD: Final = "dead"
"""The state that stands for dead letters."""

FILTER_STATES: Final = (*STATES, DEAD)
"""The states that a filter can name."""

_PLAIN: Final = ("state", "queue", "task", "outcome", "error", "worker", "id")
_TIMES: Final = {"since": "since_ms", "until": "until_ms"}
_MOST_MS: Final = 253_402_300_799_999
"""The end of the year 9999, the last time that can be written as a date."""


class TaskFilter(NamedTuple):
    """What a task must be to be meant; what is empty does not matter.

    Attributes:
        state: one of `FILTER_STATES`.
        queue: the name of its queue.
        task: the name of the task.
        since_ms: it was enqueued, has ended or has become a dead letter at this time or later, ms since the epoch.
        until_ms: before this time.
        error: of finished ones the type of its error, with or without its module; of dead letters also the reason.
        args: of each argument, by its name or, of positional ones, its number from 0, the value.
        headers: the same of headers.
        outcome: of finished ones the final state.
        worker: the child that runs it, or ran it last, or how its name begins, up to a hyphen: its worker, its host.
        id: how its id begins.
        words: texts, each of which is in its id, its name, its arguments or the type of its error; case is ignored.
    """

    state: str = DEAD
    queue: str = ""
    task: str = ""
    since_ms: int = 0
    until_ms: int = 0
    error: str = ""
    args: Mapping[str, Any] = {}
    headers: Mapping[str, Any] = {}
    outcome: str = ""
    worker: str = ""
    id: str = ""
    words: Sequence[str] = ()

    @property
    def needs_message(self) -> bool:
        """Whether it can only be known of a task whose message can be read."""
        return bool(self.queue or self.task or self.args or self.headers)

    @property
    def needs_record(self) -> bool:
        """Whether of a dead letter the record of its task must be read, too."""
        return bool(self.error or self.worker or self.words)

    def check(self) -> Self:
        """Return it if it can be one.

        Raises:
            UnknownQueue: the queue cannot be one.
            InvalidTask: there is no such state or outcome, they exclude each other, or the times are the wrong way
                round.
        """
        if self.state not in FILTER_STATES:
            raise InvalidTask(f"state is {self.state!r}; it must be one of {', '.join(FILTER_STATES)}.")
        if self.queue:
            check_queue(self.queue)
        if self.outcome:
            if self.outcome not in FINAL_STATES:
                known = ", ".join(sorted(FINAL_STATES))
                raise InvalidTask(f"outcome is {self.outcome!r}; it must be one of {known}.")
            if self.outcome not in OUTCOMES.get(self.state, ()):
                raise InvalidTask(
                    f"No task that is {self.state} has the outcome {self.outcome}; leave the state out, or give "
                    "'finished'."
                )
        if self.until_ms and self.since_ms >= self.until_ms:
            raise InvalidTask(
                f"since is {_moment(self.since_ms)} and until {_moment(self.until_ms)}; no task is in between: give an "
                "earlier and a later time."
            )
        return self

    def accepts(self, view: TaskView) -> bool:
        """Return whether a task in the filter's state is meant."""
        snapshot = view.snapshot
        at_ms = snapshot.finished_ms if self.state in OUTCOMES else snapshot.enqueued_ms
        if self.outcome and snapshot.state.value != self.outcome:
            return False
        error = str((view.error or {}).get("type", ""))
        return self._accepts(view.id, view.message, at_ms, (error,), snapshot.worker)

    def accepts_letter(self, letter: DeadLetter, message: Message | None, record: TaskView | None = None) -> bool:
        """Return whether a dead letter is meant.

        Args:
            letter: it.
            message: of it; None: its bytes are none, or were not read because nothing here needs them.
            record: of its task; None: it is gone, or was not read because nothing here needs it.
        """
        error = "" if record is None else str((record.error or {}).get("type", ""))
        worker = "" if record is None else record.snapshot.worker
        return self._accepts(letter.id, message, letter.died_ms, (letter.reason, error), worker)

    def _accepts(self, task_id: str, message: Message | None, at_ms: int, errors: tuple[str, ...], worker: str) -> bool:
        if at_ms < self.since_ms or (self.until_ms and at_ms >= self.until_ms):
            return False
        if not task_id.startswith(self.id):
            return False
        if self.worker and worker != self.worker and not worker.startswith(f"{self.worker}-"):
            return False
        if self.error and not any(self.error in (one, one.rpartition(".")[2]) for one in errors):
            return False
        if self.needs_message and (message is None or not self._accepts_call(message)):
            return False
        return not self.words or self._has_words(task_id, message, errors)

    def _accepts_call(self, message: Message) -> bool:
        if (self.queue and message.queue != self.queue) or (self.task and message.task != self.task):
            return False
        if not all(_is(message.headers.get(name, _MISSING), value) for name, value in self.headers.items()):
            return False
        return all(_is(_argument(message, name), value) for name, value in self.args.items())

    def _has_words(self, task_id: str, message: Message | None, errors: tuple[str, ...]) -> bool:
        texts = [task_id, *errors]
        if message is not None:
            arguments = json.dumps([message.args, message.kwargs], ensure_ascii=False, default=str)
            texts += [message.task, arguments]
        found = "\n".join(texts).casefold()
        return all(word.casefold() in found for word in self.words)

    def text(self) -> str:
        """Return it in one line; `filter_text.parse_filter` reads it again."""
        terms = [term(name, getattr(self, name)) for name in _PLAIN if getattr(self, name)]
        times = [(name, getattr(self, field)) for name, field in _TIMES.items()]
        terms += [f"{name}:{_moment(ms)}" for name, ms in times if ms]
        terms += [argument_term("arg", name, value) for name, value in self.args.items()]
        terms += [argument_term("header", name, value) for name, value in self.headers.items()]
        return " ".join([*terms, *(_quoted(word, ":=") for word in self.words)])


def term(key: str, value: str) -> str:
    """Return what stands for a key and its value in the text of a filter."""
    return f"{key}:{_quoted(value)}"


def argument_term(key: str, name: str, value: Any) -> str:
    """Return what stands for the value of an argument or a header, ``key``: ``"arg"`` or ``"header"``."""
    return f"{key}.{_quoted(name, ':=')}={json.dumps(value, separators=(',', ':'))}"


def _quoted(text: str, others: str = "") -> str:
    """Return a text, in quotes if it is empty, or has spaces, quotes, or one of some other characters."""
    is_plain = bool(text) and text.isprintable() and not any(one in text for one in ' "' + others)
    return text if is_plain and not any(map(str.isspace, text)) else json.dumps(text)


_MISSING: Final = object()


def _moment(ms: int) -> str:
    """Return a time as it stands in the text of a filter."""
    if not 0 <= ms <= _MOST_MS:
        return str(ms)
    seconds, rest = divmod(ms, 1000)
    at = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _argument(message: Message, name: str) -> Any:
    if name.isdecimal() and int(name) < len(message.args):
        return message.args[int(name)]
    return message.kwargs.get(name, _MISSING)


def _is(found: Any, wanted: Any) -> bool:
    """Return whether two JSON values are the same: True is not 1."""
    return bool(found == wanted) and isinstance(found, bool) == isinstance(wanted, bool)
