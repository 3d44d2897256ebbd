"""Start a workflow that was linked to a task, now that the task's outcome is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from streamtasks.protocol.links import START
from streamtasks.stores.types import Claimed, Outcome
from streamtasks.stores.workflow_types import NewWorkflow
from streamtasks.tasks.attempt import Attempt
from streamtasks.workflows.linked import workflow_of_call

from .internal_task import InternalTask
from .outcomes import Outcomes

__all__ = ["StartWorkflow", "WorkflowStarter", "start_nowhere"]

KEPT_MS: Final = 900_000
"""How long the record of a start is kept, which holds the whole workflow: as long as any id must be known, ms."""

type StartWorkflow = Callable[[NewWorkflow, float], bool]
"""`Store.start_workflow`, with the time for which it is repeated, seconds."""


def start_nowhere(new: NewWorkflow, retry_time_s: float | None = None) -> bool:  # noqa: ARG001
    """Stand in for `Store.start_workflow` where there is no store."""
    return False


class WorkflowStarter(InternalTask):
    """The task behind linked workflows. Run twice, it starts one: the workflow's id came with its message."""

    name = START

    def __init__(self, start: StartWorkflow) -> None:
        self._start = start

    def execute(self, claimed: Claimed, attempt: Attempt, outcomes: Outcomes) -> Outcome:
        """Start the workflow; the result is its id."""
        new = workflow_of_call(attempt.message, outcomes.settings.wire)
        self._start(new, outcomes.settings.timeout_s)
        result = outcomes.encode(attempt.message, new.id)
        return outcomes.success(claimed, attempt.started_ms, result)._replace(keep_ms=KEPT_MS)
