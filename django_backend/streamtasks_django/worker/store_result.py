"""Call a backend's own ``store_result()`` with each final outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, override

from asgiref.sync import sync_to_async

from streamtasks import Attempt, AttemptOutcome, Middleware, State

from ..tasks.call_options import COLUMNS
from ..tasks.row_values import ends_as
from ..tasks.snapshot_results import STATUS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..enqueue.store_alias import StoreAlias

__all__ = ["store_result_middleware"]


class StoreResultMiddleware(Middleware):
    """Call ``store_result()`` for every final outcome, before it is committed."""

    def __init__(self, backend: StoreAlias) -> None:
        self._backend = backend

    @override
    def after_outcome(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        """Store an outcome; the worker logs an error of the hook."""
        if outcome.state == State.RETRY:
            return
        message = attempt.message
        extra: dict[str, Any] = {"priority": message.priority, **(message.headers.get(COLUMNS) or {})}
        result = outcome.value if outcome.state == State.SUCCESS else outcome.error
        if outcome.state == State.IGNORED:
            result = None
        with ends_as(State(outcome.state)):
            self._backend.store_result(attempt.id, result, STATUS[outcome.state], **extra)

    @override
    async def after_outcome_async(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        """Store the outcome of a coroutine task, on the thread that has the database connections."""
        await sync_to_async(self.after_outcome)(attempt, outcome)


def store_result_middleware(backend: StoreAlias) -> Sequence[Middleware]:
    """Return middleware that calls ``store_result()`` of this backend; none unless its class overrides the method."""
    return (StoreResultMiddleware(backend),) if backend.wants_outcomes else ()
