"""The command ``streamtasks logs``: what the attempts of a task have logged and printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from .target import Target, target_options

if TYPE_CHECKING:
    from streamtasks.protocol.log_lines import LogLine, TaskLogs
    from streamtasks.stores.base import Store

__all__ = ["log_json", "logs_command", "print_lines"]

FOLLOW_S: Final = 0.5
"""How often new lines are asked for, seconds."""


@click.command("logs")
@target_options
@click.argument("task_id")
@click.option("--attempt", type=click.IntRange(1), help="Only the lines of this attempt.")
@click.option("--follow", is_flag=True, help="Go on with new lines until the task is finished.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
def logs_command(target: Target, task_id: str, attempt: int | None, follow: bool, as_json: bool) -> None:
    """Show what the attempts of a task have logged and printed. Times are of the worker's machine."""
    from streamtasks.operations import inspect

    from .output import clean

    app = target.one()
    store = app.owner.store
    if inspect.task(store, app.settings.wire, task_id) is None:
        raise click.ClickException(clean(f"No task {task_id} is known; if it ever was, its record has expired."))
    known = 0
    while True:
        is_over = not follow or _is_finished(store, task_id)
        while (found := inspect.logs(store, task_id, known)) is not None and found.total > known:
            known = _print_news(found, known, attempt, as_json=as_json)
        if is_over:
            return
        _pause()


def _print_news(found: TaskLogs, known: int, attempt: int | None, *, as_json: bool) -> int:
    """Print what has come behind so many lines; return how many are known then."""
    skipped, lines = found.after(known)
    wanted = [one for one in lines if attempt is None or one.attempt == attempt]
    if as_json:
        import json

        from .output import clean

        if skipped:
            click.echo(json.dumps({"left_out": skipped}))
        for one in wanted:
            click.echo(clean(json.dumps(log_json(one))))
    else:
        print_lines(skipped, wanted)
    return known + skipped + len(lines)


def print_lines(skipped: int, lines: list[LogLine]) -> None:
    """Print lines for people; before them how many were dropped."""
    from .output import clean, moment
    from .output import lines as lines_of

    if skipped:
        click.echo(f"... {skipped} lines left out ...")
    for one in lines:
        first, *rest = lines_of(one.text)
        where = f"{one.level} {one.source}" if one.level else one.source
        click.echo(f"{moment(one.at_ms)} {one.attempt} {clean(where)}: {first}")
        for line in rest:
            click.echo(f"  {line}".rstrip())


def log_json(line: LogLine) -> dict[str, Any]:
    """Return a line as JSON."""
    return line._asdict()


def _is_finished(store: Store, task_id: str) -> bool:
    [snapshot] = store.read([task_id])
    return snapshot is None or snapshot.is_finished


def _pause() -> None:
    import time

    time.sleep(FOLLOW_S)
