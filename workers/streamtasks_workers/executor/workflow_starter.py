"""Start a workflow that was linked to a task whose outcome is known now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from streamtasks.protocol.links import START
from streamtasks.protocol.wire import Wire
from streamtasks.stores.types import NewWorkflow
from streamtasks.tasks.attempt import Attempt, AttemptOutcome
from streamtasks.tasks.run_options import RunOptions
from streamtasks.workflows.linked import workflow_of_call

__all__ = ["KEPT_MS", "Begin", "Starter", "nothing_begun"]

KEPT_MS: Final = 900_000
"""For how long the record of a start is kept, which holds the whole workflow: as long as any id must be known."""

type Begin = Callable[[NewWorkflow], bool]
"""`Store.start_workflow`."""


def nothing_begun(new: NewWorkflow) -> bool:  # noqa: ARG001
    """Stand in for `Store.start_workflow` where there is no store."""
    return False


class Starter:
    """The task behind linked workflows; see `Runnable`. Run twice, it starts one: the workflow's id came with it."""

    name = START
    is_async = False
    run_options = RunOptions()

    def __init__(self, begin: Begin, wire: Wire) -> None:
        self._begin = begin
        self._wire = wire

    def run(self, attempt: Attempt) -> Any:
        """Start it; return its id."""
        new = workflow_of_call(attempt.message, self._wire)
        self._begin(new)
        return new.id

    def before_start(self, attempt: Attempt) -> None:
        """See `Runnable.before_start`."""

    def after(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        """See `Runnable.after`."""
