"""The command ``streamtasks show``: everything that is known of one task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .target import Target, target_options

if TYPE_CHECKING:
    from streamtasks.operations.inspect import TaskView
    from streamtasks.operations.stacks import StackAnswer
    from streamtasks.protocol.log_lines import TaskLogs
    from streamtasks.stores.base import Store

__all__ = ["show_command"]


@click.command("show")
@target_options
@click.argument("task_id")
@click.option("--stack", is_flag=True, help="Also where it is in its code now, if it runs; asked of its worker.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_command(target: Target, task_id: str, stack: bool, as_json: bool) -> None:
    """Show a task: its call, state, times, earlier attempts, its result or error with traceback, and logs."""
    from streamtasks.operations import inspect

    from .logs import log_json, print_lines
    from .output import clean, print_json, print_table
    from .tasks import task_json

    app = target.one()
    found = inspect.task(app.owner.store, app.settings.wire, task_id)
    if found is None:
        raise click.ClickException(clean(f"No task {task_id} is known; if it ever was, its record has expired."))
    kept = _logs(app.owner.store, task_id)
    answer = _stacks(app.owner.store, task_id) if stack else None
    if as_json:
        logs = {"lines": [log_json(one) for one in kept.lines], "left_out": kept.left_out}
        shown = task_json(found) | {"logs": logs}
        print_json(shown | {"stack": _stack_json(answer)} if stack else shown)
        return
    print_table(["task", clean(found.id)], _rows(found))
    _print_error(found.error)
    if kept.total:
        click.echo("logs")
        print_lines(0, kept.first)
        print_lines(kept.left_out, kept.last)
    if stack:
        _print_stacks(answer)


def _logs(store: Store, task_id: str) -> TaskLogs:
    from streamtasks.exceptions import ServerNotSupported
    from streamtasks.operations import inspect
    from streamtasks.protocol.log_lines import NO_LOGS

    try:
        return inspect.logs(store, task_id) or NO_LOGS
    except ServerNotSupported:
        return NO_LOGS


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


def _stacks(store: Store, task_id: str) -> StackAnswer | None:
    from streamtasks.operations.stacks import stacks

    return stacks(store, task_id)


def _stack_json(answer: StackAnswer | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    found = [{"name": one.name, "frames": [frame._asdict() for frame in one.frames]} for one in answer.stacks]
    return {"stacks": found, "problem": answer.problem}


def _print_stacks(answer: StackAnswer | None) -> None:
    from .output import clean

    if answer is None:
        click.echo("stack: it is not known to run")
        return
    for one in answer.stacks:
        click.echo(clean(f"stack of {one.name}, the latest call last"))
        for frame in one.frames:
            click.echo("  " + clean(f'File "{frame.file}", line {frame.line}, in {frame.function}'))
    if answer.problem:
        click.echo(f"stack: {clean(answer.problem)}")
