"""A claimed message on its way to its outcome."""

from __future__ import annotations

import time
from typing import Final

from streamtasks.application import Runnable
from streamtasks.stores.types import Claimed, Outcome
from streamtasks.tasks.attempt import Attempt, AttemptOutcome
from streamtasks.tasks.run_options import INLINE, RunOptions

from ..process.board import Board
from .guards import OPEN, Guard
from .limits import Limits

__all__ = ["Prepared"]

_NONE: Final = RunOptions()


class Prepared:
    """A message that was decoded and whose task is known, or whose outcome is certain without that.

    Attributes:
        claimed: the message as it was claimed.
        outcome: its outcome if there is nothing to run: it cannot be read, or its task is not known here.
        attempt: this attempt, else None.
        runnable: its task, else None.
        options: of the task.
        skipped: how it ends without a start: revoked, expired, or after a parent that failed.
        limits: the time limits that are in force.
        is_async: whether it runs on an event loop.
        started_ns: when the attempt has started, monotonic ns; 0: not yet.
        is_logged: whether its start was logged, and so its success.
        settles_alone: whether its outcome is settled right away, because hooks have heard of it.
        guard: what the executor puts around the task's own code.
    """

    __slots__ = (
        "__weakref__",
        "attempt",
        "claimed",
        "guard",
        "is_async",
        "is_logged",
        "limits",
        "options",
        "outcome",
        "runnable",
        "settles_alone",
        "skipped",
        "started_ns",
    )

    def __init__(
        self,
        claimed: Claimed,
        outcome: Outcome | None = None,
        attempt: Attempt | None = None,
        runnable: Runnable | None = None,
        options: RunOptions = _NONE,
        limits: Limits | None = None,
        skipped: AttemptOutcome | None = None,
    ) -> None:
        self.claimed = claimed
        self.outcome = outcome
        self.attempt = attempt
        self.runnable = runnable
        self.limits = limits
        self.skipped = skipped
        self.guard: Guard = OPEN
        self.options = options
        self.is_async = runnable is not None and runnable.is_async
        self.settles_alone = options.has_hooks
        self.started_ns = 0
        self.is_logged = False

    @property
    def runs_inline(self) -> bool:
        """Whether it must run alone in its child, on the main thread."""
        return self.options.executor == INLINE

    @property
    def started_ms(self) -> int:
        """When its attempt has started, ms since the epoch by the store's clock; 0: it has not."""
        return 0 if self.attempt is None else self.attempt.started_ms

    def ran_ns(self) -> int:
        """Return how long its attempt has been running, ns."""
        return time.monotonic_ns() - self.started_ns if self.started_ns else 0

    def begin(self, guard: Guard, board: Board, slot: int, started_ns: int) -> None:
        """Put a guard around it, and note the limits of the attempt that has just started on the board."""
        self.guard = guard
        self.started_ns = started_ns
        if self.limits is not None:
            board.limit(slot, started_ns, *self.limits)
