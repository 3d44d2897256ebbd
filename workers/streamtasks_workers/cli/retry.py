"""The command ``streamtasks retry``: enqueue tasks that have failed once more."""

from __future__ import annotations

from typing import Any

import click

from .target import Target, change_options, target_options

__all__ = ["retry_command"]


@click.command("retry")
@target_options
@click.argument("task_ids", nargs=-1, required=True)
@change_options
def retry_command(target: Target, task_ids: tuple[str, ...], by: Any) -> None:
    """Enqueue tasks that have ended without success once more, each as a new task with the same call.

    Again for the same end: the same new task, which is not enqueued twice.
    """
    from streamtasks.operations import control

    owner = target.owner
    for task_id in task_ids:
        click.echo(f"{task_id}: enqueued again as {control.retry(owner, task_id, **by)}")
