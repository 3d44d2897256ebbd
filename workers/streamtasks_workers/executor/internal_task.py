"""Tasks of the worker itself, which no middleware and no hook is called for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamtasks.stores.types import Claimed, Outcome
from streamtasks.tasks.attempt import Attempt, AttemptOutcome
from streamtasks.tasks.run_options import RunOptions

from .outcomes import Outcomes

__all__ = ["InternalTask"]


class InternalTask:
    """A task that makes its outcome itself; see `Runnable`. It is a plain one: it may wait for the store.

    Attributes:
        name: what its messages carry.
        always_runs: whether it runs although its message was revoked or follows a failure.
    """

    name: str
    always_runs = False
    is_async = False
    run_options = RunOptions()

    def execute(self, claimed: Claimed, attempt: Attempt, outcomes: Outcomes) -> Outcome:
        """Do the work and return the outcome.

        Raises:
            StoreError: the store cannot be reached now; it is tried again later.
        """
        raise NotImplementedError  # no ABC: isinstance() of one is slow, and asked for every attempt

    def run(self, attempt: Attempt) -> Any:
        """Refuse: it is run by `execute`."""
        raise NotImplementedError(f"{self.name} is run by execute(), not for {attempt.id}")

    def check_call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """See `Runnable.check_call`: only workers call it."""

    def before_start(self, attempt: Attempt) -> None:
        """See `Runnable.before_start`."""

    def after(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        """See `Runnable.after`."""
