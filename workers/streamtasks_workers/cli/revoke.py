"""The command ``streamtasks revoke``: end tasks before they finish, single ones or all of a filter."""

from __future__ import annotations

from typing import Any

import click

from .bulk_plans import is_for_all, plan_and_apply, plan_options
from .filter_options import Chosen, filter_options
from .target import Target, change_options, target_options

__all__ = ["revoke_command"]


@click.command("revoke")
@target_options
@click.argument("task_ids", nargs=-1, metavar="[TASK_ID]...")
@click.option("--all", "all_", is_flag=True, help="All that TASK_IDs, as a FILTER, and the options below choose.")
@click.option("--terminate", is_flag=True, help="Also interrupt those that run; not with --all.")
@filter_options(has_state=True)
@plan_options
@change_options
def revoke_command(
    target: Target, task_ids: tuple[str, ...], all_: bool, terminate: bool, chosen: Chosen, how: Any, by: Any
) -> None:
    """End tasks before they finish. Exit status 1 if one of the ids is not known, or was finished before.

    --all counts those that are queued, or are in the state that the filter names, and shows some before it asks; see
    `bulk`.
    """
    from streamtasks.operations import control
    from streamtasks.stores.types import Revocation

    owner = target.owner
    if is_for_all(task_ids, all_, chosen, how, "tasks by their ids"):
        if terminate:
            raise click.UsageError("--terminate is for tasks that are named; it does not go with --all.")
        plan_and_apply(owner, "revoke", chosen.filter(owner, task_ids, "queued"), by, how)
        return
    words = {
        Revocation.GONE: "revoked",
        Revocation.MARKED: "runs or is held; its outcome will be REVOKED",
        Revocation.FINISHED: "was finished before",
        Revocation.UNKNOWN: "is not known; it will be REVOKED if it comes",
    }
    answers = control.revoke(owner, task_ids, terminate=terminate, **by)
    for task_id, answer in zip(task_ids, answers, strict=True):
        click.echo(f"{task_id}: {words[answer]}")
    if not all(answer in (Revocation.GONE, Revocation.MARKED) for answer in answers):
        click.get_current_context().exit(1)
