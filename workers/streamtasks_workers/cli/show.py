"""The command ``streamtasks show``: everything that is known of one task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .target import Target, target_options

if TYPE_CHECKING:
    from streamtasks.operations.inspect import TaskView

__all__ = ["show_command"]


@click.command("show")
@target_options
@click.argument("task_id")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_command(target: Target, task_id: str, as_json: bool) -> None:
    """Show a task: its call, state, times, earlier attempts, and its result or error with traceback."""
    from streamtasks.operations import inspect

    from .output import clean, print_json, print_table
    from .tasks import task_json

    app = target.one()
    found = inspect.task(app.owner.store, app.settings.wire, task_id)
    if found is None:
        raise click.ClickException(clean(f"No task {task_id} is known; if it ever was, its record has expired."))
    if as_json:
        print_json(task_json(found))
        return
    print_table(["task", clean(found.id)], _rows(found))
    _print_error(found.error)


def _rows(found: TaskView) -> list[list[str]]:
    from .output import call, moment

    message, snapshot = found.message, found.snapshot
    rows = [["state", found.state]]
    if message is None:
        rows.append(["unreadable", found.problem])
    else:
        rows += [
            ["call", f"{message.task}({call(message.args, message.kwargs)})"],
            ["queue", f"{message.queue}, priority {message.priority}"],
        ]
        rows += [[f"header {name}", repr(value)] for name, value in message.headers.items()]
    rows.append(["enqueued", moment(snapshot.enqueued_ms)])
    if snapshot.due_ms:
        rows.append(["due", moment(snapshot.due_ms)])
    if snapshot.waits_for:
        rows.append(["waits for", snapshot.waits_for])
    for number, report in enumerate(snapshot.reports, 1):
        rows.append([f"attempt {number}", _attempt(report)])
    if snapshot.started_ms:
        rows.append(
            ["started", f"{moment(snapshot.started_ms)}, attempt {snapshot.attempts} by {snapshot.worker or '?'}"]
        )
    if snapshot.finished_ms:
        ran_ms = snapshot.finished_ms - snapshot.started_ms
        rows.append(["finished", moment(snapshot.finished_ms) + (f", ran {ran_ms} ms" if snapshot.started_ms else "")])
    if snapshot.is_finished and found.error is None:
        rows.append(["result", repr(found.result)])
    return rows


def _attempt(report: dict[str, Any]) -> str:
    from .output import moment

    error = report.get("error")
    text = f"{error.get('type')}: {error.get('message')}" if isinstance(error, dict) else str(error or "")
    started = report.get("started")
    when = moment(started) if isinstance(started, int) else "-"
    return f"{report.get('kind')}, started {when}, by {report.get('worker') or '?'}{'; ' if text else ''}{text}"


def _print_error(error: dict[str, Any] | None) -> None:
    from .output import clean, lines

    if error is None:
        return
    click.echo(clean(f"error  {error.get('type')}: {error.get('message')}"))
    for line in lines(str(error.get("traceback") or "")):
        click.echo(f"  {line}".rstrip())
