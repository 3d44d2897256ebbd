"""One attempt, from a claimed message to its outcome. Exceptions end here; what leaves is a value."""

from __future__ import annotations

import contextvars
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from typing import Any

from streamtasks.application import Application, Runnable
from streamtasks.attempt import Attempt, AttemptOutcome, enter_attempt
from streamtasks.codec import dumps
from streamtasks.errors import describe
from streamtasks.exceptions import DecodeError, Ignore, InvalidTask, PayloadTooLarge, Retry
from streamtasks.message import Message, split_body
from streamtasks.middleware import Middleware
from streamtasks.numbers import is_number
from streamtasks.state import State
from streamtasks.transitions import Claimed, Outcome

__all__ = ["Prepared", "Runner"]

logger = logging.getLogger("streamtasks.worker")


class Prepared:
    """A message that can be run: decoded, known, not expired."""

    __slots__ = ("attempt", "claimed", "runnable")

    def __init__(self, claimed: Claimed, attempt: Attempt, runnable: Runnable) -> None:
        self.claimed = claimed
        self.attempt = attempt
        self.runnable = runnable


class Runner:
    """Runs attempts of one app in one child.

    ``clock_offset_ns`` added to the monotonic clock gives the store's time; the child keeps it up to date.
    """

    def __init__(self, app: Application, consumer: str) -> None:
        self._app = app
        self._consumer = consumer
        self._settings = app.settings
        self._keep_success_ms = app.settings.keep_ms(success=True)
        self._keep_failure_ms = app.settings.keep_ms(success=False)
        self._around = [m for m in app.middleware if _overrides(m, "around_run", "around_run_async")]
        self._after = [m for m in app.middleware if _overrides(m, "after_outcome", "after_outcome_async")]
        self._base_context = contextvars.copy_context()
        self.clock_offset_ns = time.time_ns() - time.monotonic_ns()

    def now_ms(self, monotonic_ns: int) -> int:
        """Return the store's time for a monotonic one."""
        return (monotonic_ns + self.clock_offset_ns) // 1_000_000

    def prepare(self, claimed: Claimed, started_ns: int, report: Callable[[bytes], None]) -> Prepared | Outcome:
        """Decode a message and find its task; what cannot run gets its outcome at once."""
        # A claim of one message has recorded its start already; there is only one start of an attempt.
        recorded_ms = claimed.first_started_ms if claimed.attempt == 1 else 0
        started_ms = recorded_ms or self.now_ms(started_ns)
        try:
            enqueued_ms, envelope = split_body(claimed.body)
            message = Message.decode(envelope)
        except (DecodeError, ValueError) as error:
            logger.error("message %s cannot be read and becomes a dead letter: %s", claimed.id, error)  # noqa: TRY400
            return self._dead(claimed, error, "undecodable", 0)
        runnable = self._app.find(message.task)
        if runnable is None:
            return self._unknown(claimed, message)
        if message.expires_ms and started_ms > message.expires_ms:
            logger.info("task %s (%s) expired before it started", message.id, message.task)
            return self._outcome(claimed, State.EXPIRED, 0, b"", keep_ms=self._keep_failure_ms)
        attempt = Attempt(
            message,
            claimed.attempt,
            self._consumer,
            enqueued_ms,
            started_ms,
            claimed.first_started_ms or started_ms,
            report,
            claimed.retries,
        )
        return Prepared(claimed, attempt, runnable)

    def run(self, prepared: Prepared) -> Outcome:
        """Run a plain task on this thread, in a context of its own."""
        return self._base_context.copy().run(self._run, prepared)

    def _run(self, prepared: Prepared) -> Outcome:
        attempt = prepared.attempt
        enter_attempt(attempt)
        try:
            if self._around:
                with ExitStack() as stack:
                    for middleware in self._around:
                        stack.enter_context(middleware.around_run(attempt))
                    value = prepared.runnable.run(attempt)
            else:
                value = prepared.runnable.run(attempt)
            result = self._encode(attempt, value)
        except BaseException as error:  # noqa: BLE001 - SystemExit too is a failure of the task, not of the child
            outcome = self._judge(prepared, error)
            if self._after and outcome.state != State.IGNORED:
                self._tell(attempt, outcome)  # in here, so that sys.exc_info() tells hooks of the failure
        else:
            if self._after:
                self._tell(attempt, AttemptOutcome(State.SUCCESS, value))
            return self._succeeded(prepared, result)
        if self._after and outcome.state == State.IGNORED:
            self._tell(attempt, outcome)
        return self._failed(prepared, outcome)

    async def arun(self, prepared: Prepared) -> Outcome:
        """Run a coroutine task; the caller gives it an asyncio task, and so a context, of its own."""
        attempt = prepared.attempt
        enter_attempt(attempt)
        try:
            async with AsyncExitStack() as stack:
                for middleware in self._around:
                    await stack.enter_async_context(middleware.around_run_async(attempt))
                value = await prepared.runnable.run(attempt)
            result = self._encode(attempt, value)
        except BaseException as error:  # noqa: BLE001
            outcome = self._judge(prepared, error)
            if outcome.state != State.IGNORED:
                await self._atell(attempt, outcome)
        else:
            await self._atell(attempt, AttemptOutcome(State.SUCCESS, value))
            return self._succeeded(prepared, result)
        if outcome.state == State.IGNORED:
            await self._atell(attempt, outcome)
        return self._failed(prepared, outcome)

    # -- outcomes ------------------------------------------------------------------------------------

    def _encode(self, attempt: Attempt, value: Any) -> bytes:
        result = dumps({"r": value})
        if len(result) > self._settings.max_payload_bytes:
            raise PayloadTooLarge(
                f"The result of task {attempt.message.task} takes {len(result)} bytes; max_payload_bytes is "
                f"{self._settings.max_payload_bytes}. Store it elsewhere and return its id, or raise the limit."
            )
        return result

    def _judge(self, prepared: Prepared, error: BaseException) -> AttemptOutcome:
        """Decide what an exception means."""
        if isinstance(error, Ignore):
            return AttemptOutcome(State.IGNORED, error=error)
        if isinstance(error, Retry):
            message, options = prepared.attempt.message, prepared.runnable.run_options
            most = message.max_retries if message.max_retries is not None else options.max_retries
            if most is None or most < 0 or prepared.claimed.retries < most:
                delay_s = error.delay_s
                if delay_s is None:
                    delay_s = message.retry_delay_s if message.retry_delay_s is not None else options.retry_delay_s
                if is_number(delay_s):
                    return self._told(AttemptOutcome(State.RETRY, error=error, delay_s=max(0.0, delay_s)))
                error = InvalidTask(f"Retry's delay_s is {delay_s!r}; it must be a number of seconds.")
            elif isinstance(error.__cause__, Exception):
                error = error.__cause__  # the reason for retrying is what finally failed
        return self._told(AttemptOutcome(State.FAILURE, error=error))

    def _told(self, outcome: AttemptOutcome) -> AttemptOutcome:
        """Add the traceback for those who want to see it."""
        if self._after and outcome.error is not None:
            outcome.traceback = describe(outcome.error)["traceback"]
        return outcome

    def _succeeded(self, prepared: Prepared, result: bytes) -> Outcome:
        c = prepared.claimed
        return Outcome(
            c.id,
            c.token,
            c.stream,
            c.entry,
            c.attempt,
            c.first_started_ms,
            prepared.attempt.started_ms,
            "SUCCESS",
            result,
            "",
            self._keep_success_ms,
            0,
            c.body,
        )

    def _failed(self, prepared: Prepared, outcome: AttemptOutcome) -> Outcome:
        claimed, started_ms = prepared.claimed, prepared.attempt.started_ms
        assert outcome.error is not None
        if outcome.state == State.IGNORED:
            return self._outcome(claimed, State.IGNORED, started_ms, b"", keep_ms=self._keep_success_ms)
        error = describe(outcome.error)
        if outcome.state == State.RETRY:
            note = self._report(claimed, started_ms, "RETRY", error)
            return self._outcome(
                claimed, State.RETRY, started_ms, b"", note=note, delay_ms=round(outcome.delay_s * 1000)
            )
        return self._outcome(claimed, State.FAILURE, started_ms, dumps({"e": error}), keep_ms=self._keep_failure_ms)

    def _unknown(self, claimed: Claimed, message: Message) -> Outcome:
        settings = self._settings
        error = InvalidTask(
            f"No task named {message.task!r} is registered in this worker. Is its module imported, and is this "
            "the right release?"
        )
        if claimed.attempt >= settings.unknown_task_limit:
            logger.error("%s Message %s becomes a dead letter.", error, claimed.id)
            return self._dead(claimed, error, "unknown task", 0)
        logger.warning("%s Message %s waits %g s.", error, claimed.id, settings.unknown_task_delay_s)
        note = self._report(claimed, 0, "UNKNOWN", describe(error))
        delay_ms = round(settings.unknown_task_delay_s * 1000)
        return self._outcome(claimed, State.RETRY, 0, b"", note=note, delay_ms=delay_ms)

    def _dead(self, claimed: Claimed, error: BaseException, reason: str, started_ms: int) -> Outcome:
        return self._outcome(
            claimed, State.DEAD, started_ms, dumps({"e": describe(error)}), note=reason, keep_ms=self._keep_failure_ms
        )

    def _report(self, claimed: Claimed, started_ms: int, kind: str, error: dict[str, Any]) -> str:
        return dumps(
            {
                "kind": kind,
                "attempt": claimed.attempt,
                "worker": self._consumer,
                "started": started_ms,
                "finished": self.now_ms(time.monotonic_ns()),
                "error": error,
            }
        ).decode()

    @staticmethod
    def _outcome(
        claimed: Claimed,
        state: State,
        started_ms: int,
        result: bytes,
        *,
        note: str = "",
        keep_ms: int = 0,
        delay_ms: int = 0,
    ) -> Outcome:
        return Outcome(
            claimed.id,
            claimed.token,
            claimed.stream,
            claimed.entry,
            claimed.attempt,
            claimed.first_started_ms,
            started_ms,
            state.value,
            result,
            note,
            keep_ms,
            delay_ms,
            claimed.body,
        )

    # -- middleware ----------------------------------------------------------------------------------

    def _tell(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        for middleware in reversed(self._after):
            try:
                middleware.after_outcome(attempt, outcome)
            except BaseException:  # noqa: BLE001 - logged there; a hook may not change an outcome
                _hook_failed(middleware, attempt)

    async def _atell(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        for middleware in reversed(self._after):
            try:
                await middleware.after_outcome_async(attempt, outcome)
            except BaseException:  # noqa: BLE001 - logged there; a hook may not change an outcome
                _hook_failed(middleware, attempt)


def _overrides(middleware: Middleware, *names: str) -> bool:
    return any(getattr(type(middleware), name) is not getattr(Middleware, name) for name in names)


def _hook_failed(middleware: Middleware, attempt: Attempt) -> None:
    name = type(middleware).__name__
    logger.exception("%s.after_outcome failed for task %s (%s)", name, attempt.id, attempt.message.task)  # noqa: LOG004
