"""Callback messages: report an outcome that was decided without a child to middleware and hooks.

A script that ends a task by itself (a revocation, a time limit, a dead letter), or an attempt of one that is run again
(a time limit), appends a message of the task `CALLBACK` in the same step. Any child runs it: it reads the record, calls
middleware and hooks, and settles with the state `CALLED`, which leaves no record of the callback itself.
"""

from __future__ import annotations

import logging
from typing import Any

from streamtasks.application import Application
from streamtasks.exceptions import DecodeError, StoreError, TaskRevoked
from streamtasks.protocol.callback_message import CALLBACK
from streamtasks.protocol.errors import rebuild
from streamtasks.protocol.links import GATHER, START
from streamtasks.protocol.message import Message
from streamtasks.protocol.reports import count_reports
from streamtasks.protocol.state import Snapshot, State
from streamtasks.stores.types import Claimed, NewMessage, Outcome
from streamtasks.tasks.attempt import Attempt, AttemptOutcome, enter_attempt
from streamtasks.tasks.run_options import RunOptions

from .error_callbacks import error_callbacks
from .hooks import Hooks
from .internal_task import InternalTask
from .outcomes import Outcomes
from .skipped import Read

__all__ = ["Callbacks", "UnknownTask"]

logger = logging.getLogger("streamtasks.worker")


class UnknownTask(Exception):
    """Raised for a callback of a task that is not registered in this worker, with the task's name."""


class Callbacks(InternalTask):
    """The task behind callback messages."""

    name = CALLBACK
    always_runs = True
    run_options = RunOptions(has_hooks=True)

    def __init__(self, app: Application, hooks: Hooks, read: Read) -> None:
        self._app = app
        self._hooks = hooks
        self._read = read

    def execute(self, claimed: Claimed, attempt: Attempt, outcomes: Outcomes) -> Outcome:
        """Report the outcome to middleware and hooks. What these raise is logged where it happens."""
        follow: tuple[NewMessage, ...] = ()
        try:
            follow = self._report(attempt)
        except UnknownTask as unknown:
            if claimed.attempt < outcomes.settings.unknown_task_limit:
                return outcomes.unknown(claimed, str(unknown))
            logger.error(  # noqa: TRY400 - it says all that is known
                "no live worker knows task %s, whose outcome message %s was to report", unknown, claimed.id
            )
        except StoreError:
            raise
        except BaseException:
            logger.exception("callback message %s failed", claimed.id)
        return outcomes.called(claimed, attempt.started_ms, follow)

    def _report(self, attempt: Attempt) -> tuple[NewMessage, ...]:
        """Report the outcome of the task whose id is the first argument; return what follows it.

        A second argument is the number of an attempt after which the task runs again: then that one is reported.

        Raises:
            StoreError: the record cannot be read now.
            UnknownTask: another worker must do it.
        """
        task_id, *again = attempt.message.args
        [snapshot] = self._read([task_id])
        report = _report_of(snapshot, *again) if snapshot is not None and again else None
        if snapshot is None or not (report or (snapshot.is_finished and not again)):
            logger.debug("nothing is known any more of task %s, whose outcome was to be reported", task_id)
            return ()
        message = snapshot.message()
        if message.task in (GATHER, START):  # ours: they have no hooks
            return error_callbacks(message, snapshot.state, _error_of(snapshot), self._app.settings.wire)
        runnable = self._app.find(message.task)
        if runnable is None:
            raise UnknownTask(message.task)
        if report is not None:
            ended = _retried(snapshot, message, report)
            enter_attempt(ended)
            self._hooks.report(runnable, ended, _outcome_of_report(report))
            return ()
        error = _error_of(snapshot)
        ended, outcome = _attempt_of(snapshot, message), _outcome_of(snapshot, error)
        enter_attempt(ended)
        self._hooks.report(runnable, ended, outcome)
        return error_callbacks(message, snapshot.state, error, self._app.settings.wire)


def _error_of(snapshot: Snapshot) -> dict[str, Any] | None:
    try:
        error = snapshot.outcome().get("e")
    except DecodeError:
        return None
    return error if isinstance(error, dict) else None


def _report_of(snapshot: Snapshot, number: int) -> dict[str, Any] | None:
    """Return the report of an attempt after which the task was to run again."""
    return next((r for r in snapshot.reports if r.get("kind") == "RETRY" and r.get("attempt") == number), None)


def _retried(snapshot: Snapshot, message: Message, report: dict[str, Any]) -> Attempt:
    before = snapshot.reports[: snapshot.reports.index(report)]
    started_ms = int(report.get("started") or 0)
    return Attempt(
        message,
        report["attempt"],
        str(report.get("worker") or ""),
        snapshot.enqueued_ms,
        started_ms,
        snapshot.first_started_ms or started_ms,
        retries=count_reports(before, "RETRY"),
    )


def _outcome_of_report(report: dict[str, Any]) -> AttemptOutcome:
    error = report.get("error")
    if not isinstance(error, dict):
        return AttemptOutcome(State.RETRY)
    return AttemptOutcome(State.RETRY, error=rebuild(error), traceback=error.get("traceback", ""))


def _attempt_of(snapshot: Snapshot, message: Message) -> Attempt:
    started_ms = snapshot.started_ms or snapshot.finished_ms
    return Attempt(
        message,
        snapshot.attempts,
        snapshot.worker,
        snapshot.enqueued_ms,
        started_ms,
        snapshot.first_started_ms or started_ms,
        retries=count_reports(snapshot.reports, "RETRY"),
    )


def _outcome_of(snapshot: Snapshot, error: dict[str, Any] | None) -> AttemptOutcome:
    if error is not None:
        return AttemptOutcome(snapshot.state, error=rebuild(error), traceback=error.get("traceback", ""))
    if snapshot.state == State.REVOKED:
        return AttemptOutcome(State.REVOKED, error=TaskRevoked(f"Task {snapshot.id} was revoked."))
    return AttemptOutcome(snapshot.state)
