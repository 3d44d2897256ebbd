"""The command ``streamtasks explain``: why a task waits, or where its time went."""

from __future__ import annotations

import click

from .target import Target, target_options

__all__ = ["explain_command"]


@click.command("explain")
@target_options
@click.argument("task_id")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain_command(target: Target, task_id: str, as_json: bool) -> None:
    """Say why a task waits, or where its time went; the most important reason comes first."""
    from streamtasks.operations.explain import explain_task

    from .output import clean, moment, print_json, print_table

    reasons = explain_task(target.owner.store, task_id)
    if as_json:
        shown = [{"code": one.code, "text": one.text, "until_ms": one.until_ms, "stops": one.stops} for one in reasons]
        print_json({"id": task_id, "reasons": shown})
    else:
        rows = [[one.code, one.text, moment(one.until_ms)] for one in reasons]
        print_table(["reason", clean(task_id), "until"], rows)
    if reasons[0].code == "unknown":
        click.get_current_context().exit(1)
