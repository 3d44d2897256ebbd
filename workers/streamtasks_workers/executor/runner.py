"""Run one attempt, from a claimed message to its outcome. Exceptions end here: what is returned is a value."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, nullcontext
from functools import partial
from traceback import clear_frames
from types import CodeType
from typing import Any

from streamtasks.application import Application, Runnable
from streamtasks.exceptions import DecodeError, EncodingRefused, EncodingUnavailable, StoreError
from streamtasks.protocol.errors import describe
from streamtasks.protocol.message import Message, split_body
from streamtasks.protocol.seals import PROGRESS
from streamtasks.protocol.shards import node_of
from streamtasks.protocol.state import State
from streamtasks.stores.inspection_types import WorkerInfo
from streamtasks.stores.types import Claimed, NewMessage, Outcome
from streamtasks.tasks.attempt import Attempt, AttemptOutcome, enter_attempt
from streamtasks.workflows.follow_ups import follow_ups

from ..process.board import Interrupt
from .around import Around
from .attempt_log import NO_LOG, AttemptLog
from .callbacks import Callbacks
from .error_callbacks import error_callbacks
from .error_outcome import outcome_of_error
from .header_writer import HeaderWriter, Rewrite, rewrite_nothing
from .hooks import Hooks
from .inputs import Gather, Inputs, ResultGatherer, gather_nothing
from .internal_task import InternalTask
from .limits import NO_LIMITS, Limits, explained, limits_of
from .other_workers import OtherWorkers
from .outcomes import Outcomes
from .place_check import check_place
from .prepared import Prepared
from .skipped import Read, outcome_of_skipped
from .task_call import call_task
from .workflow_starter import StartWorkflow, WorkflowStarter, start_nowhere

__all__ = ["Runner"]

logger = logging.getLogger("streamtasks.worker")


class Runner:
    """Runs attempts of one app in one child: `prepare`, then `run` or `arun`. None of these ever raises.

    ``clock_offset_ns`` added to the monotonic clock gives the store's time; the child keeps it up to date.

    Args:
        app: whose tasks they are.
        consumer: the child's name.
        read: reads records, for callback messages; see `Store.read`.
        limits: time limits where neither a call nor its task names any.
        gather: reads results in workflows; see `Store.gather`.
        start_workflow: see `Store.start_workflow`.
        log: where attempts are logged.
        rewrite: see `Store.rewrite`.
    """

    def __init__(
        self,
        app: Application,
        consumer: str,
        read: Read = lambda ids: [None] * len(ids),
        limits: Limits = NO_LIMITS,
        gather: Gather = gather_nothing,
        start_workflow: StartWorkflow = start_nowhere,
        workers: Callable[[], Sequence[WorkerInfo]] = list,
        log: AttemptLog = NO_LOG,
        rewrite: Rewrite = rewrite_nothing,
    ) -> None:
        self._app = app
        self._consumer = consumer
        self._settings = app.settings
        self._wire = app.settings.wire
        self._has_keys = self._wire.is_sealed or self._wire.requires_signed
        self._limits = limits
        self.log = log
        self._read = read

        def now_ms() -> int:
            return self.now_ms(time.monotonic_ns())

        self._outcomes = Outcomes(app.settings, consumer, now_ms, OtherWorkers(workers))
        self._around = Around(app.middleware)
        self._hooks = Hooks(app.middleware)
        self._inputs = Inputs(gather, app.settings.wire)
        self._headers = HeaderWriter(rewrite, app.settings)
        internal = (
            Callbacks(app, self._hooks, read),
            ResultGatherer(self._inputs),
            WorkflowStarter(start_workflow),
        )
        self._internal: dict[str, Runnable] = {task.name: task for task in internal}
        self._base_context = contextvars.copy_context()
        self.clock_offset_ns = time.time_ns() - time.monotonic_ns()

    @classmethod
    def codes(cls) -> tuple[CodeType, ...]:
        """Return the code in whose frames attempts run."""
        return cls._run.__code__, cls._arun.__code__

    def enter_child(self) -> None:
        """Let attempts begin with the context that is current now, with what middleware has put around the child."""
        self._base_context = contextvars.copy_context()

    def now_ms(self, monotonic_ns: int) -> int:
        """Return the store's time for a monotonic one, ms since the epoch."""
        return (monotonic_ns + self.clock_offset_ns) // 1_000_000

    def prepare(self, claimed: Claimed, started_ns: int, report: Callable[[bytes], object]) -> Prepared:
        """Decode a message and find its task.

        Args:
            claimed: the message.
            started_ns: when this attempt started, monotonic ns.
            report: takes the task's progress.
        """
        try:
            # A claim of one message has recorded its start already; there is only one start of an attempt.
            recorded_ms = claimed.first_started_ms if claimed.attempt == 1 else 0
            started_ms = recorded_ms or self.now_ms(started_ns)
            try:
                enqueued_ms, envelope = split_body(claimed.body)
                message = Message.decode(envelope, self._wire, claimed.id)
                message.expires_ms = message.expires_at_ms(enqueued_ms)
                if self._has_keys:
                    check_place(message, claimed)
                    report = partial(self._report_sealed, claimed.id, report)
            except EncodingUnavailable as error:
                return Prepared(claimed, self._outcomes.unreadable(claimed, error))
            except EncodingRefused as error:
                return Prepared(claimed, self._outcomes.refused(claimed, error))
            except (DecodeError, ValueError) as error:
                logger.error("message %s cannot be read and becomes a dead letter: %s", claimed.id, error)  # noqa: TRY400
                return Prepared(claimed, self._outcomes.dead(claimed, error, "undecodable"))
            runnable: Runnable | None = self._app.find(message.task)
            if runnable is None:
                runnable = self._internal.get(message.task)
            skipped = None
            if claimed.skip_reason:
                skipped = outcome_of_skipped(message, claimed.skip_reason, self._read)
            elif message.expires_ms and started_ms > message.expires_ms:
                skipped = AttemptOutcome(State.EXPIRED)
            if runnable is None:
                if skipped is None:
                    return Prepared(claimed, self._outcomes.unknown(claimed, message.task))
                return Prepared(claimed, self._skipped(claimed, message, skipped))
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
            options = runnable.run_options
            limits = limits_of(message, options, claimed.retries, self._limits)
            return self._headers.attach(Prepared(claimed, None, attempt, runnable, options, limits, skipped))
        except BaseException as error:  # noqa: BLE001 - see _contained
            return Prepared(claimed, self._contained(claimed, 0, error))

    def set_start(self, prepared: Prepared, started_ns: int) -> None:
        """Note that an attempt starts later than it was prepared: it has waited for a place."""
        attempt = prepared.attempt
        if attempt is not None and not (prepared.claimed.first_started_ms and prepared.claimed.attempt == 1):
            started_ms = self.now_ms(started_ns)
            if attempt.first_started_ms == attempt.started_ms:
                attempt.first_started_ms = started_ms
            attempt.started_ms = started_ms

    def run(self, prepared: Prepared) -> Outcome:
        """Run a plain task on this thread, in a context of its own."""
        try:
            return prepared.outcome or self._base_context.copy().run(self._run, prepared)
        except BaseException as error:  # noqa: BLE001 - see _contained
            return self._contained(prepared.claimed, prepared.started_ms, error)

    async def arun(self, prepared: Prepared) -> Outcome:
        """Run a coroutine task; the caller gives it an asyncio task, and so a context, of its own."""
        try:
            return prepared.outcome or await self._arun(prepared)
        except BaseException as error:  # noqa: BLE001 - see _contained
            return self._contained(prepared.claimed, prepared.started_ms, error)

    def _report_sealed(self, task_id: str, report: Callable[[bytes], object], progress: bytes) -> object:
        """Send the progress of a task, signed or encrypted."""
        return report(self._wire.seal(progress, PROGRESS, task_id))

    def _contained(self, claimed: Claimed, started_ms: int, error: BaseException) -> Outcome:
        """Return the failure of an attempt that raised outside the task's own code, whatever it was.

        An exception that left here would end the child, or leave the attempt running for ever.
        """
        if isinstance(error, MemoryError):
            clear_frames(error.__traceback__)
        details = describe(error)
        logger.error("message %s failed outside its task's own code:\n%s", claimed.id, details["traceback"])
        return self._outcomes.failure(claimed, started_ms, details)

    # `_run` and `_arun` differ in nothing but what they await: a change of one belongs in the other.

    def _run(self, prepared: Prepared) -> Outcome:
        attempt, runnable = prepared.attempt, prepared.runnable
        assert attempt is not None
        assert runnable is not None
        if isinstance(runnable, InternalTask):
            return self._run_internal(prepared, runnable, attempt)
        enter_attempt(attempt)
        has_hooks = prepared.settles_alone or self._hooks.has_middleware
        if (ended := prepared.skipped) is not None:
            outcome = self._skipped(prepared.claimed, attempt.message, ended)
        else:
            prepared.is_logged = self.log.started(attempt, prepared.started_ns)
            try:
                if attempt.message.takes:
                    self._inputs.take(attempt.message)
                around = self._around.context
                if around is None or type(context := around(attempt)) is nullcontext:
                    value = prepared.guard.call(call_task, prepared)
                else:
                    with context:
                        value = prepared.guard.call(call_task, prepared)
                outcome = self._success(prepared, attempt, value)
                if has_hooks:
                    ended = AttemptOutcome(State.SUCCESS, value)
            except BaseException as error:  # noqa: BLE001 - SystemExit too is a failure of the task, not of the child
                ended, outcome = self._failure(prepared, attempt, error)
                if has_hooks and ended.state != State.IGNORED:
                    self._hooks.report(runnable, attempt, ended)  # in here, so that sys.exc_info() is the failure
                    ended = None
        if has_hooks and ended is not None:
            self._hooks.report(runnable, attempt, ended)
        if attempt.lines is not None:
            attempt.lines.close()
        return outcome

    async def _arun(self, prepared: Prepared) -> Outcome:
        attempt, runnable = prepared.attempt, prepared.runnable
        assert attempt is not None
        assert runnable is not None
        enter_attempt(attempt)
        has_hooks = prepared.settles_alone or self._hooks.has_middleware
        if (ended := prepared.skipped) is not None:
            outcome = self._skipped(prepared.claimed, attempt.message, ended)
        else:
            prepared.is_logged = self.log.started(attempt, prepared.started_ns)
            try:
                if attempt.message.takes:
                    await asyncio.to_thread(self._inputs.take, attempt.message)
                if self._around.context is None:
                    value = await prepared.guard.drive(call_task(prepared))
                else:
                    async with AsyncExitStack() as stack:
                        await self._around.enter_async(stack, attempt)
                        value = await prepared.guard.drive(call_task(prepared))
                outcome = self._success(prepared, attempt, value)
                if has_hooks:
                    ended = AttemptOutcome(State.SUCCESS, value)
            except BaseException as error:  # noqa: BLE001 - as above
                ended, outcome = self._failure(prepared, attempt, error)
                if has_hooks and ended.state != State.IGNORED:
                    await self._hooks.areport(runnable, attempt, ended)
                    ended = None
        if has_hooks and ended is not None:
            await self._hooks.areport(runnable, attempt, ended)
        if attempt.lines is not None:
            attempt.lines.close()
        return outcome

    def _run_internal(self, prepared: Prepared, task: InternalTask, attempt: Attempt) -> Outcome:
        if prepared.skipped is not None and not task.always_runs:
            return self._skipped(prepared.claimed, attempt.message, prepared.skipped)
        try:
            return task.execute(prepared.claimed, attempt, self._outcomes)
        except StoreError as error:
            return self._outcomes.retry(prepared.claimed, attempt.started_ms, describe(error), delay_s=1.0)
        except Exception as error:  # noqa: BLE001 - recorded as its failure
            return self._outcomes.failure(prepared.claimed, attempt.started_ms, describe(error))

    # -- outcomes ------------------------------------------------------------------------------------

    def _success(self, prepared: Prepared, attempt: Attempt, value: Any) -> Outcome:
        if prepared.guard.kind > Interrupt.SOFT_LIMIT:
            raise _EndedByWorker
        message = attempt.message
        if not self._ignores_result(prepared, message):
            result = self._outcomes.encode(message, value)
        else:  # signed, nothing: so that nobody can take a value away
            result = self._outcomes.encode(message, None) if self._wire.is_sealed else b""
        follow: tuple[NewMessage, ...] = ()
        if message.links:
            follow = follow_ups(message, State.SUCCESS, value, None, self._wire)
        if prepared.is_logged:
            self.log.ended(message, attempt.number, AttemptOutcome(State.SUCCESS), prepared.ran_ns())
        return self._outcomes.success(prepared.claimed, attempt.started_ms, result, follow)

    def _ignores_result(self, prepared: Prepared, message: Message) -> bool:
        """Return whether the value of a success is not stored. That of a workflow's node is: others may get it."""
        ignored = message.ignore_result
        if ignored is None:
            ignored = prepared.options.ignore_result
        if ignored is None:
            ignored = self._settings.ignore_result
        return ignored and (".w" not in message.id or node_of(message.id) is None)

    def _failure(self, prepared: Prepared, attempt: Attempt, error: BaseException) -> tuple[AttemptOutcome, Outcome]:
        """Decide what an exception means; return that for hooks and for the store."""
        claimed, message, interrupted = prepared.claimed, attempt.message, prepared.guard.kind
        if isinstance(error, MemoryError):
            clear_frames(error.__traceback__)  # what the task holds is needed to record its end
        if interrupted:
            error = explained(interrupted, error, message.id, prepared.limits)
        if interrupted == Interrupt.REVOKED:
            ended = AttemptOutcome(State.REVOKED, error=error)
        else:
            ended = outcome_of_error(message, prepared.options, claimed.retries, error, attempt)
        details: dict[str, Any] | None = None
        if ended.error is not None and ended.state != State.IGNORED:
            details = describe(ended.error)
            ended.traceback = details["traceback"]
        self.log.ended(message, attempt.number, ended, prepared.ran_ns())
        if ended.state == State.RETRY:
            return ended, self._outcomes.retry(claimed, attempt.started_ms, details, ended.delay_s)
        follow: tuple[NewMessage, ...] = ()
        if ended.state != State.IGNORED:
            follow = error_callbacks(message, ended.state, details, self._wire)
        return ended, self._outcomes.final(claimed, ended.state, attempt.started_ms, details, follow)

    def _skipped(self, claimed: Claimed, message: Message, ended: AttemptOutcome) -> Outcome:
        """Return the outcome of a message that must not start."""
        details = None if ended.error is None else describe(ended.error)
        ended.traceback = "" if details is None else details["traceback"]
        self.log.ended(message, claimed.attempt, ended)
        follow = error_callbacks(message, ended.state, details, self._wire)
        return self._outcomes.final(claimed, ended.state, 0, details, follow)


class _EndedByWorker(Exception):
    """Raised for a task that returned although it had been ended: its result does not count."""
