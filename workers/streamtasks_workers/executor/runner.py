"""One attempt, from a claimed message to its outcome. Exceptions end here; what leaves is a value."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from typing import Any

from streamtasks.application import Application, Runnable
from streamtasks.exceptions import (
    DecodeError,
    EncodingRefused,
    EncodingUnavailable,
    PayloadTooLarge,
    StoreError,
)
from streamtasks.protocol.errors import describe
from streamtasks.protocol.links import GATHER, START
from streamtasks.protocol.message import Message, split_body
from streamtasks.protocol.state import State
from streamtasks.protocol.wire import RESULT
from streamtasks.stores.types import Claimed, NewMessage, Outcome
from streamtasks.tasks.attempt import Attempt, AttemptOutcome, enter_attempt
from streamtasks.workflows.follow_ups import follow_ups

from ..process.board import Ask
from .callbacks import CALLBACK, Callbacks, Read, UnknownTask
from .error_callbacks import followers
from .guards import OPEN, Guard
from .hooks import Hooks, overrides
from .inputs import Gather, HandOn, Inputs, nothing_kept
from .limits import NO_LIMITS, Limits, explained, limits_of
from .outcomes import Outcomes
from .verdicts import cause_of, judge, outcome_of_skipped
from .workflow_starter import KEPT_MS, Begin, Starter, nothing_begun

__all__ = ["Prepared", "Runner"]

logger = logging.getLogger("streamtasks.worker")


class Prepared:
    """A message that can be run: decoded, and its task is known.

    ``skipped`` is its outcome if it must not run (revoked, expired, its parent failed); ``alone``: its outcome is
    settled right away. The executor puts a ``guard`` around its code.
    """

    __slots__ = ("alone", "attempt", "claimed", "guard", "limits", "runnable", "skipped")

    def __init__(
        self,
        claimed: Claimed,
        attempt: Attempt,
        runnable: Runnable,
        limits: Limits | None = None,
        skipped: AttemptOutcome | None = None,
    ) -> None:
        self.claimed = claimed
        self.attempt = attempt
        self.runnable = runnable
        self.limits = limits
        self.skipped = skipped
        self.alone = runnable.run_options.has_hooks
        self.guard: Guard = OPEN


class Runner:
    """Runs attempts of one app in one child.

    ``clock_offset_ns`` added to the monotonic clock gives the store's time; the child keeps it up to date.

    Args:
        read: reads records, for callback messages.
        limits: time limits where neither a call nor its task says anything.
        gather: reads results in workflows; see `Store.gather`.
        begin: starts workflows; see `Store.start_workflow`.
    """

    def __init__(
        self,
        app: Application,
        consumer: str,
        read: Read = lambda ids: [None] * len(ids),
        limits: Limits = NO_LIMITS,
        gather: Gather = nothing_kept,
        begin: Begin = nothing_begun,
    ) -> None:
        self._app = app
        self._consumer = consumer
        self._settings = app.settings
        self._limits = limits
        self._outcomes = Outcomes(app.settings, consumer, lambda: self.now_ms(time.monotonic_ns()))
        self._around = [m for m in app.middleware if overrides(m, "around_run", "around_run_async")]
        self._hooks = Hooks(app.middleware)
        self._callbacks = Callbacks(app, self._hooks, read)
        self._read = read
        self._inputs = Inputs(gather, app.settings.wire)
        self._own: dict[str, Runnable] = {
            CALLBACK: self._callbacks,
            GATHER: HandOn(),
            START: Starter(begin, app.settings.wire),
        }
        self._base_context = contextvars.copy_context()
        self.clock_offset_ns = time.time_ns() - time.monotonic_ns()

    def now_ms(self, monotonic_ns: int) -> int:
        """Return the store's time for a monotonic one."""
        return (monotonic_ns + self.clock_offset_ns) // 1_000_000

    def prepare(self, claimed: Claimed, started_ns: int, report: Callable[[bytes], None]) -> Prepared | Outcome:
        """Decode a message and find its task; one that cannot be read, or of no task here, gets its outcome at once."""
        # A claim of one message has recorded its start already; there is only one start of an attempt.
        recorded_ms = claimed.first_started_ms if claimed.attempt == 1 else 0
        started_ms = recorded_ms or self.now_ms(started_ns)
        try:
            enqueued_ms, envelope = split_body(claimed.body)
            message = Message.decode(envelope, self._settings.wire, claimed.id)
        except EncodingUnavailable as error:
            return self._outcomes.unreadable(claimed, error)
        except EncodingRefused as error:
            logger.error("message %s is refused and becomes a dead letter: %s", claimed.id, error)  # noqa: TRY400
            return self._outcomes.dead(claimed, error, "refused")
        except (DecodeError, ValueError) as error:
            logger.error("message %s cannot be read and becomes a dead letter: %s", claimed.id, error)  # noqa: TRY400
            return self._outcomes.dead(claimed, error, "undecodable")
        runnable: Runnable | None = self._app.find(message.task)
        if runnable is None:
            runnable = self._own.get(message.task)
        skipped = None
        if claimed.skip_reason:
            skipped = outcome_of_skipped(message, claimed.skip_reason, cause_of(claimed.skip_reason, self._read))
        elif message.expires_ms and started_ms > message.expires_ms:
            logger.info("task %s (%s) expired before it started", message.id, message.task)
            skipped = AttemptOutcome(State.EXPIRED)
        if runnable is None:
            return (
                self._outcomes.unknown(claimed, message.task)
                if skipped is None
                else self._skipped(claimed, message, skipped)
            )
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
        limits = limits_of(message, runnable.run_options, claimed.retries, self._limits)
        return Prepared(claimed, attempt, runnable, limits, skipped)

    def run(self, prepared: Prepared) -> Outcome:
        """Run a plain task on this thread, in a context of its own."""
        return self._base_context.copy().run(self._run, prepared)

    def _run(self, prepared: Prepared) -> Outcome:
        attempt, runnable = prepared.attempt, prepared.runnable
        if runnable is self._callbacks:
            return self._run_callback(prepared)
        if runnable.name in (GATHER, START):
            return self._run_own(prepared)
        enter_attempt(attempt)
        if prepared.skipped is not None:
            self._hooks.tell(runnable, attempt, prepared.skipped)
            return self._skipped(prepared.claimed, attempt.message, prepared.skipped)
        heard = self._hooks.heard(runnable)
        try:
            if attempt.message.takes:
                self._inputs.take(attempt.message)
            if self._around:
                with ExitStack() as stack:
                    for middleware in self._around:
                        stack.enter_context(middleware.around_run(attempt))
                    value = prepared.guard.call(_begin, prepared)
            else:
                value = prepared.guard.call(_begin, prepared)
            result = self._encode(prepared, value)
            follow = self._followers(attempt, value)
        except BaseException as error:  # noqa: BLE001 - SystemExit too is a failure of the task, not of the child
            outcome, details = self._judged(prepared, error)
            if heard and outcome.state != State.IGNORED:
                self._hooks.tell(
                    runnable, attempt, outcome
                )  # in here, so that sys.exc_info() tells hooks of the failure
        else:
            if heard:
                self._hooks.tell(runnable, attempt, AttemptOutcome(State.SUCCESS, value))
            return self._outcomes.success(prepared.claimed, attempt.started_ms, result, follow)
        if heard and outcome.state == State.IGNORED:
            self._hooks.tell(runnable, attempt, outcome)
        return self._failed(prepared, outcome, details)

    async def arun(self, prepared: Prepared) -> Outcome:
        """Run a coroutine task; the caller gives it an asyncio task, and so a context, of its own."""
        attempt, runnable = prepared.attempt, prepared.runnable
        enter_attempt(attempt)
        if prepared.skipped is not None:
            await self._hooks.atell(runnable, attempt, prepared.skipped)
            return self._skipped(prepared.claimed, attempt.message, prepared.skipped)
        heard = self._hooks.heard(runnable)
        try:
            if attempt.message.takes:
                await asyncio.to_thread(self._inputs.take, attempt.message)
            async with AsyncExitStack() as stack:
                for middleware in self._around:
                    await stack.enter_async_context(middleware.around_run_async(attempt))
                value = await prepared.guard.drive(_begin(prepared))
            result = self._encode(prepared, value)
            follow = self._followers(attempt, value)
        except BaseException as error:  # noqa: BLE001
            outcome, details = self._judged(prepared, error)
            if heard and outcome.state != State.IGNORED:
                await self._hooks.atell(runnable, attempt, outcome)
        else:
            if heard:
                await self._hooks.atell(runnable, attempt, AttemptOutcome(State.SUCCESS, value))
            return self._outcomes.success(prepared.claimed, attempt.started_ms, result, follow)
        if heard and outcome.state == State.IGNORED:
            await self._hooks.atell(runnable, attempt, outcome)
        return self._failed(prepared, outcome, details)

    def _run_callback(self, prepared: Prepared) -> Outcome:
        """Tell of an outcome that was decided without a child. An error of the hooks is logged where it happens."""
        claimed, started_ms = prepared.claimed, prepared.attempt.started_ms
        follow: tuple[NewMessage, ...] = ()
        try:
            follow = self._callbacks.run(prepared.attempt)
        except UnknownTask as unknown:
            if claimed.attempt < self._settings.unknown_task_limit:
                return self._outcomes.unknown(claimed, str(unknown))
            logger.error("nobody knows task %s, whose end was to be told by message %s", unknown, claimed.id)  # noqa: TRY400
        except StoreError as error:
            return self._outcomes.retry(claimed, started_ms, describe(error), delay_s=1.0)
        except BaseException:
            logger.exception("callback message %s failed", claimed.id)
        return self._outcomes.called(claimed, started_ms, follow)

    def _run_own(self, prepared: Prepared) -> Outcome:
        """Run a task of our own, of which nobody hears."""
        claimed, attempt = prepared.claimed, prepared.attempt
        if prepared.skipped is not None:
            return self._skipped(claimed, attempt.message, prepared.skipped)
        try:
            self._inputs.take(attempt.message)
            result = self._encode(prepared, prepared.runnable.run(attempt))
        except StoreError as error:
            return self._outcomes.retry(claimed, attempt.started_ms, describe(error), delay_s=1.0)
        except Exception as error:  # noqa: BLE001 - recorded as its failure
            return self._outcomes.failure(claimed, attempt.started_ms, describe(error))
        outcome = self._outcomes.success(claimed, attempt.started_ms, result, ())
        return outcome._replace(keep_ms=KEPT_MS) if prepared.runnable.name == START else outcome

    # -- outcomes ------------------------------------------------------------------------------------

    def _encode(self, prepared: Prepared, value: Any) -> bytes:
        if prepared.guard.kind > Ask.SOFT_LIMIT:
            raise _Overruled
        result = self._settings.wire.dumps({"r": value}, RESULT, prepared.attempt.message.id)
        if len(result) > self._settings.max_payload_bytes:
            raise PayloadTooLarge(
                f"The result of task {prepared.attempt.message.task} takes {len(result)} bytes; max_payload_bytes is "
                f"{self._settings.max_payload_bytes}. Store it elsewhere and return its id, or raise the limit."
            )
        return result

    def _followers(self, attempt: Attempt, value: Any) -> tuple[NewMessage, ...]:
        message = attempt.message
        return follow_ups(message, State.SUCCESS, value, None, self._settings.wire) if message.links else ()

    @staticmethod
    def _judged(prepared: Prepared, error: BaseException) -> tuple[AttemptOutcome, dict[str, Any] | None]:
        """Decide what an exception means, and describe it."""
        options, claimed, message = prepared.runnable.run_options, prepared.claimed, prepared.attempt.message
        if prepared.guard.kind:
            error = explained(prepared.guard.kind, error, message.id, prepared.limits)
        if prepared.guard.kind == Ask.REVOKED:
            outcome = AttemptOutcome(State.REVOKED, error=error)
        else:
            outcome = judge(message, options, claimed.retries, error)
        if outcome.error is None or outcome.state == State.IGNORED:
            return outcome, None
        details = describe(outcome.error)
        outcome.traceback = details["traceback"]
        return outcome, details

    def _failed(self, prepared: Prepared, outcome: AttemptOutcome, details: dict[str, Any] | None) -> Outcome:
        claimed, started_ms = prepared.claimed, prepared.attempt.started_ms
        if outcome.state == State.RETRY:
            return self._outcomes.retry(claimed, started_ms, details, outcome.delay_s)
        follow: tuple[NewMessage, ...] = ()
        if outcome.state != State.IGNORED:
            follow = followers(prepared.attempt.message, outcome.state, details, self._settings.wire)
        return self._outcomes.final(claimed, outcome.state, started_ms, details, follow)

    def _skipped(self, claimed: Claimed, message: Message, skipped: AttemptOutcome) -> Outcome:
        """Return the outcome of a message that was never started."""
        details = None if skipped.error is None else describe(skipped.error)
        follow = followers(message, skipped.state, details, self._settings.wire)
        return self._outcomes.final(claimed, skipped.state, 0, details, follow)


class _Overruled(Exception):
    """Raised for a task that returned although it had been ended: what it returned does not count."""


def _begin(prepared: Prepared) -> Any:
    """Call the task itself; of a coroutine function, return the coroutine."""
    if prepared.alone:
        prepared.runnable.before_start(prepared.attempt)
    return prepared.runnable.run(prepared.attempt)
