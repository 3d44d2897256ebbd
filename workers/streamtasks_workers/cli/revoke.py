"""The command ``streamtasks revoke``: end tasks before they finish."""

from __future__ import annotations

from typing import Any

import click

from .target import Target, change_options, target_options

__all__ = ["revoke_command"]


@click.command("revoke")
@target_options
@click.argument("task_ids", nargs=-1, required=True)
@click.option("--terminate", is_flag=True, help="Also interrupt those that run.")
@change_options
def revoke_command(target: Target, task_ids: tuple[str, ...], terminate: bool, by: Any) -> None:
    """End tasks before they finish. Exit status 1 if one of the ids is not known, or was finished before."""
    from streamtasks.operations import control
    from streamtasks.stores.types import Revocation

    words = {
        Revocation.GONE: "revoked",
        Revocation.MARKED: "runs or is held; its outcome will be REVOKED",
        Revocation.FINISHED: "was finished before",
        Revocation.UNKNOWN: "is not known; it will be REVOKED if it comes",
    }
    answers = control.revoke(target.owner, task_ids, terminate=terminate, **by)
    for task_id, answer in zip(task_ids, answers, strict=True):
        click.echo(f"{task_id}: {words[answer]}")
    if not all(answer in (Revocation.GONE, Revocation.MARKED) for answer in answers):
        click.get_current_context().exit(1)
