"""The command ``streamtasks retry``: enqueue tasks that have failed once more, single ones or all of a filter."""

from __future__ import annotations

from typing import Any

import click

from .bulk_plans import is_for_all, plan_and_apply, plan_options
from .filter_options import Chosen, filter_options
from .target import Target, change_options, target_options

__all__ = ["retry_command"]


@click.command("retry")
@target_options
@click.argument("task_ids", nargs=-1, metavar="[TASK_ID]...")
@click.option("--all", "all_", is_flag=True, help="All that TASK_IDs, as a FILTER, and the options below choose.")
@filter_options(has_state=True)
@plan_options
@change_options
def retry_command(target: Target, task_ids: tuple[str, ...], all_: bool, chosen: Chosen, how: Any, by: Any) -> None:
    """Enqueue tasks that have ended without success once more, each as a new task with the same call.

    Again for the same end: the same new task, which is not enqueued twice. --all counts those that have failed, or are
    in the state that the filter names, and shows some before it asks; see `bulk`.
    """
    from streamtasks.operations import control

    owner = target.owner
    if is_for_all(task_ids, all_, chosen, how, "tasks by their ids"):
        plan_and_apply(owner, "retry", chosen.filter(owner, task_ids, "failed"), by, how)
        return
    for task_id in task_ids:
        click.echo(f"{task_id}: enqueued again as {control.retry(owner, task_id, **by)}")
