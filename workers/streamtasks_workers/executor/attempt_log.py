"""Log attempts: when one starts, how it ends, and why it runs again."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import Any, Final

from streamtasks.application import TaskLog
from streamtasks.protocol.errors import own_frames_left_out
from streamtasks.protocol.message import Message
from streamtasks.protocol.printable import clean
from streamtasks.protocol.state import State
from streamtasks.tasks.attempt import Attempt, AttemptOutcome

__all__ = ["NO_LOG", "AttemptLog"]

SECOND_NS: Final = 1_000_000_000

MOST_SHOWN: Final = 200
"""Characters of an error in the line of a retry or a failure; the traceback has all of it."""

_LEVELS: Final = {State.FAILURE: logging.ERROR, State.DEAD: logging.ERROR}


class AttemptLog:
    """Writes the lines about the attempts of one child.

    A line is ``Task id=... path=... state=...``, as Django writes it, then queue, attempt and runtime. Arguments are
    not shown.
    """

    def __init__(self, log: TaskLog, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger(log.logger)
        self._words = log.words
        self._a_second = log.attempts_a_second  # two lines take as long as a short task
        self._left: float = 0
        self._hidden = 0
        self._renewed_ns = -SECOND_NS

    def started(self, attempt: Attempt, now_ns: int) -> bool:
        """Log a start, unless too many came in this second; return whether it was.

        Args:
            attempt: what starts.
            now_ns: monotonic.
        """
        if now_ns - self._renewed_ns >= SECOND_NS:
            self._renew(now_ns)
        if self._left <= 0:
            self._hidden += 1
            return False
        self._left -= 1
        self._write(logging.INFO, attempt.message, attempt.number, State.STARTED, "", {})
        return True

    def ended(self, message: Message, number: int, ended: AttemptOutcome, ran_ns: int = 0) -> None:
        """Log how an attempt has ended.

        Args:
            message: what was run.
            number: of the attempt.
            ended: how.
            ran_ns: how long it ran; 0: it did not start.
        """
        state, error = ended.state, ended.error
        level = _LEVELS.get(state, logging.INFO)
        if not self._logger.isEnabledFor(level):
            return
        more = f" runtime={ran_ns / 1e9:.3f}s" if ran_ns else ""
        fields: dict[str, Any] = {"task_runtime": round(ran_ns / 1e9, 6)} if ran_ns else {}
        if state == State.RETRY:
            more += f" retry_in={ended.delay_s:.1f}s"
            fields["task_retry_in"] = ended.delay_s
        reason = "" if error is None or state == State.IGNORED else _last_line(ended.traceback)
        if reason:
            more += f" {'reason' if state != State.FAILURE else 'error'}={reason!r}"
            fields["task_error"] = reason
        failed = error if state == State.FAILURE else None
        self._write(level, message, number, state, more, fields, failed, ended.traceback)

    def tell_hidden(self) -> None:
        """Log how many attempts had no lines of their own. Called when the child has nothing to do."""
        hidden, self._hidden = self._hidden, 0
        if hidden and self._logger.isEnabledFor(logging.INFO):
            self._logger.info(
                "%d more attempts have started; %d a second are logged one by one, all with --log-level DEBUG. "
                "Failures and retries always are",
                hidden,
                self._a_second,
            )

    def _renew(self, now_ns: int) -> None:
        """Begin a second. Only here the level is looked at: what is not logged costs next to nothing."""
        self.tell_hidden()
        self._renewed_ns = now_ns
        if not self._logger.isEnabledFor(logging.INFO):
            self._left = 0
        else:
            self._left = float("inf") if self._logger.isEnabledFor(logging.DEBUG) else self._a_second

    def _write(
        self,
        level: int,
        message: Message,
        attempt: int,
        state: State,
        more: str,
        fields: dict[str, Any],
        error: BaseException | None = None,
        traceback: str = "",
    ) -> None:
        try:
            self._write_record(level, message, attempt, state, more, fields, error, traceback)
        except BaseException as failed:  # noqa: BLE001 - factories, filters and handlers may be anybody's
            with suppress(OSError):
                os.write(2, f"the end of task {message.id} cannot be logged: {type(failed).__name__}\n".encode())

    def _write_record(
        self,
        level: int,
        message: Message,
        attempt: int,
        state: State,
        more: str,
        fields: dict[str, Any],
        error: BaseException | None,
        traceback: str,
    ) -> None:
        word = self._words.get(state, state.value)
        exc_info = None if error is None else (type(error), error, own_frames_left_out(error.__traceback__))
        record = self._logger.makeRecord(
            self._logger.name,
            level,
            __file__,
            0,
            "Task id=%s path=%s state=%s queue=%s attempt=%d%s",
            (clean(message.id), clean(message.task), word, clean(message.queue), attempt, more),
            exc_info,
            None,
            {"task_state": word, **fields},
        )
        if error is not None:
            record.exc_text = traceback.rstrip()  # shortened, if it is very long
        self._logger.handle(record)


NO_LOG: Final = AttemptLog(TaskLog(), logging.Logger("none", logging.CRITICAL + 1))  # noqa: LOG001 - it stands outside of all
"""Writes nothing."""


def _last_line(traceback: str) -> str:
    """Return the line of a traceback that names the error."""
    lines = traceback.rstrip().splitlines()
    return lines[-1][:MOST_SHOWN] if lines else ""
