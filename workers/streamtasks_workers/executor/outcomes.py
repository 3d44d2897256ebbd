"""Make outcomes: what is recorded of an attempt, for how long, and the report of one that runs again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from streamtasks.exceptions import (
    EncodingRefused,
    EncodingUnavailable,
    InvalidKey,
    InvalidTask,
    NotAuthentic,
    PayloadTooLarge,
    UnknownKey,
)
from streamtasks.protocol.errors import describe
from streamtasks.protocol.json import dumps, invalid_key
from streamtasks.protocol.message import Message
from streamtasks.protocol.reports import attempt_report
from streamtasks.protocol.sizes import LARGE_BYTES, warn_of_size
from streamtasks.protocol.state import State
from streamtasks.protocol.validation import MAX_SECONDS
from streamtasks.protocol.wire import RESULT
from streamtasks.settings import StoreSettings
from streamtasks.stores.types import Claimed, Exhausted, NewMessage, Outcome

from .other_workers import OtherWorkers

__all__ = ["CALLED", "Outcomes"]

logger = logging.getLogger("streamtasks.worker")

LEFT_MS: Final = 500
"""A message that is left to another worker comes again after so long, ms."""

_NOTHING: Final = dumps({"r": None})
"""The result of a task that returns nothing, as most do."""

CALLED: Final = "CALLED"
"""The state in which a callback message ends; nothing is recorded of it."""


class Outcomes:
    """Make the outcomes of one consumer's attempts.

    Args:
        settings: with how long records are kept.
        consumer: the name of the child that holds the messages.
        now_ms: returns the store's time, ms since the epoch.
        others: the other workers, to which a message is left whose task is unknown here.
    """

    def __init__(
        self, settings: StoreSettings, consumer: str, now_ms: Callable[[], int], others: OtherWorkers | None = None
    ) -> None:
        self.settings = settings
        self._consumer = consumer
        self._now_ms = now_ms
        self._others = others
        self._wire = settings.wire
        self._is_plain = self._wire.is_plain
        self._keep_success_ms = settings.keep_ms(success=True)
        self._keep_failure_ms = settings.keep_ms(success=False)

    def encode(self, message: Message, value: Any) -> bytes:
        """Return the recorded form of a result.

        Raises:
            InvalidTask: JSON cannot carry it.
            InvalidKey: a key in it is not a string.
            PayloadTooLarge: it is larger than ``max_payload_bytes``.
        """
        if value is None and self._is_plain:
            return _NOTHING
        try:
            result = self._wire.dumps({"r": value}, RESULT, message.id)
        except InvalidKey as error:
            raise invalid_key("the result", error.path[1:], error.key, message.task) from None
        if len(result) > self.settings.max_payload_bytes:
            raise PayloadTooLarge(
                f"The result of task {message.task} takes {len(result)} bytes; max_payload_bytes is "
                f"{self.settings.max_payload_bytes}. Store it elsewhere and return its id, or raise the limit."
            )
        if len(result) >= LARGE_BYTES:
            warn_of_size("result", message.task, len(result))
        return result

    def success(self, held: Claimed, started_ms: int, result: bytes, follow: tuple[NewMessage, ...] = ()) -> Outcome:
        """Return a SUCCESS with an encoded result."""
        return Outcome.of(held, "SUCCESS", started_ms, result, "", self._keep_success_ms, 0, follow)

    def failure(
        self, held: Claimed, started_ms: int, error: dict[str, Any] | None, follow: tuple[NewMessage, ...] = ()
    ) -> Outcome:
        """Return a FAILURE that records a described error."""
        return self.final(held, State.FAILURE, started_ms, error, follow)

    def final(
        self,
        held: Claimed,
        state: State,
        started_ms: int = 0,
        error: dict[str, Any] | None = None,
        follow: tuple[NewMessage, ...] = (),
    ) -> Outcome:
        """Return a final outcome without a result; only a failure records its error."""
        if state == State.FAILURE:
            result = self._sealed({"e": error}, held.id)
        else:  # an ignored one is signed as such, so that it cannot be made of a failure
            result = self._sealed({}, held.id) if state == State.IGNORED and self._wire.is_sealed else b""
        keep_ms = self._keep_success_ms if state == State.IGNORED else self._keep_failure_ms
        return Outcome.of(held, state.value, started_ms, result, keep_ms=keep_ms, follow=follow)

    def retry(
        self, held: Claimed, started_ms: int, error: dict[str, Any] | None, delay_s: float, kind: str = "RETRY"
    ) -> Outcome:
        """Return a RETRY after ``delay_s`` seconds; ``kind`` names its reason in the report."""
        report = attempt_report(
            self._wire, held.id, kind, held.attempt, self._consumer, started_ms, self._now_ms(), error
        )
        delay_ms = round(min(max(0.0, delay_s), MAX_SECONDS) * 1000)
        return Outcome.of(held, "RETRY", started_ms, note=report, delay_ms=delay_ms)

    def dead(self, held: Claimed | Exhausted, error: BaseException, reason: str, started_ms: int = 0) -> Outcome:
        """Return a DEAD: the message becomes a dead letter, with the reason for it."""
        result = self._sealed({"e": describe(error)}, held.id)
        return Outcome.of(held, "DEAD", started_ms, result, reason, self._keep_failure_ms)

    def called(self, held: Claimed, started_ms: int, follow: tuple[NewMessage, ...] = ()) -> Outcome:
        """Return the outcome of a callback message; nothing is recorded."""
        return Outcome.of(held, CALLED, started_ms, follow=follow)

    def unknown(self, held: Claimed, task: str) -> Outcome:
        """Return the outcome of a message whose task is not registered here: a delay, in the end a dead letter.

        If another worker knows it, the message is left to that one, and nothing is counted.
        """
        if self._others is not None and self._others.know(task, held.stream.partition(":")[2]):
            logger.info("task %s (%r) is left to another worker, which knows it", held.id, task)
            return Outcome.of(held, "RETRY", 0, delay_ms=LEFT_MS)
        error = InvalidTask(
            f"No task named {task!r} is registered in this worker. Is its module imported (in Django: an app's "
            "tasks.py, or one that TASK_IMPORTS names), is this the right release, or does another project use the "
            f"same server with key_prefix {self.settings.key_prefix!r}?"
        )
        return self._delayed_or_dead(held, error, "unknown task")

    def unreadable(self, held: Claimed, error: EncodingUnavailable) -> Outcome:
        """Return the outcome of a message that another worker can read; as for an unknown task."""
        why = f": {error.why}" if isinstance(error, UnknownKey) else ""
        return self._delayed_or_dead(held, error, f"undecodable{why}")

    def refused(self, held: Claimed, error: EncodingRefused) -> Outcome:
        """Return the outcome of a message that this process may not read: it becomes a dead letter."""
        logger.error("message %s is refused and becomes a dead letter: %s", held.id, error)
        why = f": {error.why}" if isinstance(error, NotAuthentic) else ""
        return self.dead(held, error, f"refused{why}")

    def _sealed(self, outcome: dict[str, Any], task_id: str) -> bytes:
        """Return an outcome that is not a value, as plain JSON within what seals it."""
        return self._wire.seal(dumps(outcome), RESULT, task_id)

    def _delayed_or_dead(self, held: Claimed, error: Exception, reason: str) -> Outcome:
        settings = self.settings
        if held.attempt >= settings.unknown_task_limit:
            logger.error("%s Message %s becomes a dead letter.", error, held.id)
            return self.dead(held, error, reason)
        logger.warning("%s Message %s waits %g s.", error, held.id, settings.unknown_task_delay_s)
        return self.retry(held, 0, describe(error), settings.unknown_task_delay_s, "UNKNOWN")
