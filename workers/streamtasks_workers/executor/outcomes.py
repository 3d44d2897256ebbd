"""Outcomes as the store takes them: who held the message, what is recorded, and for how long."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from streamtasks.exceptions import EncodingUnavailable, InvalidTask
from streamtasks.protocol.errors import describe
from streamtasks.protocol.json import dumps
from streamtasks.protocol.state import State
from streamtasks.settings import StoreSettings
from streamtasks.stores.types import Claimed, NewMessage, Outcome

from .callbacks import CALLED

__all__ = ["Outcomes"]

logger = logging.getLogger("streamtasks.worker")


class Outcomes:
    """Makes the outcomes of one child.

    Args:
        consumer: its name.
        now_ms: tells the store's time.
    """

    def __init__(self, settings: StoreSettings, consumer: str, now_ms: Callable[[], int]) -> None:
        self._settings = settings
        self._consumer = consumer
        self._now_ms = now_ms
        self._keep_success_ms = settings.keep_ms(success=True)
        self._keep_failure_ms = settings.keep_ms(success=False)

    def success(self, c: Claimed, started_ms: int, result: bytes, follow: tuple[NewMessage, ...]) -> Outcome:
        """Return a SUCCESS."""
        return Outcome(
            c.id,
            c.token,
            c.stream,
            c.entry,
            c.attempt,
            c.first_started_ms,
            started_ms,
            "SUCCESS",
            result,
            "",
            self._keep_success_ms,
            0,
            c.body,
            follow,
        )

    def end(
        self,
        claimed: Claimed,
        state: State,
        started_ms: int,
        error: dict[str, Any] | None,
        follow: tuple[NewMessage, ...] = (),
    ) -> Outcome:
        """Return another final outcome; only that of a failure holds its error."""
        success = state == State.IGNORED
        return self._outcome(
            claimed,
            state.value,
            started_ms,
            dumps({"e": error}) if state == State.FAILURE else b"",
            keep_ms=self._keep_success_ms if success else self._keep_failure_ms,
            follow=follow,
        )

    def retry(self, claimed: Claimed, started_ms: int, error: dict[str, Any] | None, delay_s: float) -> Outcome:
        """Return one that asks for another attempt."""
        note = self._report(claimed, started_ms, "RETRY", error)
        return self._outcome(claimed, "RETRY", started_ms, b"", note=note, delay_ms=round(delay_s * 1000))

    def unknown(self, claimed: Claimed, task: str) -> Outcome:
        """Return that of a message whose task is not registered here: it waits, and is dead in the end."""
        error = InvalidTask(
            f"No task named {task!r} is registered in this worker. Is its module imported, and is this "
            "the right release?"
        )
        return self._elsewhere(claimed, error, "unknown task")

    def unreadable(self, claimed: Claimed, error: EncodingUnavailable) -> Outcome:
        """Return that of a message that another worker can read: it waits as one of an unknown task does."""
        return self._elsewhere(claimed, error, "undecodable")

    def _elsewhere(self, claimed: Claimed, error: Exception, reason: str) -> Outcome:
        settings = self._settings
        if claimed.attempt >= settings.unknown_task_limit:
            logger.error("%s Message %s becomes a dead letter.", error, claimed.id)
            return self.dead(claimed, error, reason)
        logger.warning("%s Message %s waits %g s.", error, claimed.id, settings.unknown_task_delay_s)
        note = self._report(claimed, 0, "UNKNOWN", describe(error))
        delay_ms = round(settings.unknown_task_delay_s * 1000)
        return self._outcome(claimed, "RETRY", 0, b"", note=note, delay_ms=delay_ms)

    def dead(self, claimed: Claimed, error: BaseException, reason: str) -> Outcome:
        """Return that of a message which is given up on before it started."""
        result = dumps({"e": describe(error)})
        return self._outcome(claimed, "DEAD", 0, result, note=reason, keep_ms=self._keep_failure_ms)

    def called(self, claimed: Claimed, started_ms: int, follow: tuple[NewMessage, ...]) -> Outcome:
        """Return that of a callback message, of which nothing is kept."""
        return self._outcome(claimed, CALLED, started_ms, b"", follow=follow)

    def _report(self, claimed: Claimed, started_ms: int, kind: str, error: dict[str, Any] | None) -> str:
        return dumps(
            {
                "kind": kind,
                "attempt": claimed.attempt,
                "worker": self._consumer,
                "started": started_ms,
                "finished": self._now_ms(),
                "error": error,
            }
        ).decode()

    @staticmethod
    def _outcome(
        claimed: Claimed,
        state: str,
        started_ms: int,
        result: bytes,
        *,
        note: str = "",
        keep_ms: int = 0,
        delay_ms: int = 0,
        follow: tuple[NewMessage, ...] = (),
    ) -> Outcome:
        return Outcome(
            claimed.id,
            claimed.token,
            claimed.stream,
            claimed.entry,
            claimed.attempt,
            claimed.first_started_ms,
            started_ms,
            state,
            result,
            note,
            keep_ms,
            delay_ms,
            claimed.body,
            follow,
        )
