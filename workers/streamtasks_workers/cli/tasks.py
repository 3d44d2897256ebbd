"""The command ``streamtasks tasks``: the tasks that a filter means, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .filter_options import STATES, Chosen, filter_options
from .target import Target, target_options

if TYPE_CHECKING:
    from streamtasks.operations.inspect import TaskView

__all__ = ["task_json", "tasks_command"]


@click.command("tasks")
@target_options
@click.argument("words", nargs=-1, metavar="[FILTER]...")
@filter_options(has_state=True)
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True, help="Tasks of a page.")
@click.option("--cursor", default="", help="Continue behind a page: what it printed last.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def tasks_command(
    target: Target, words: tuple[str, ...], chosen: Chosen, limit: int, cursor: str, as_json: bool
) -> None:
    """Show a page of tasks; finished ones come newest first. Its last line has the cursor of the next page, if any.

    FILTER chooses them, as `state:failed queue:mails arg.user=7 since:1h`, and options do, too; by default they are
    those that are queued. A page ends after 1,000 tasks that were looked at, so where few are meant it may be short.
    Finished ones are not cut between tasks that ended together.
    """
    from streamtasks.operations import inspect
    from streamtasks.operations.search import find_tasks

    from .output import call, clean, moment, print_json, print_next_page, print_table, short
    from .queues import print_paused_tasks

    app = target.one()
    where = chosen.filter(app.owner, words)
    page = find_tasks(app.owner.store, app.settings.wire, where, cursor, limit)
    if as_json:
        print_json({"tasks": [task_json(one) for one in page.tasks], "cursor": page.cursor})
        return
    rows = []
    for one in page.tasks:
        message, snapshot = one.message, one.snapshot
        when = snapshot.finished_ms or snapshot.due_ms or snapshot.started_ms or snapshot.enqueued_ms
        queue = "?" if message is None else f"{message.queue} {message.priority}"
        what = f"? ({one.problem})" if message is None else f"{message.task}({call(message.args, message.kwargs)})"
        rows.append([one.id, one.state, queue, moment(when), short(what)])
    if not rows and not page.cursor:
        others = ", ".join(one for one in STATES if one != where.state)
        click.echo(clean(f"no task is meant by {where.text()}; --state has {others}"))
        return
    print_table(["id", "state", "queue", "since, due or end", "call"], rows)
    if where.state == "queued":
        print_paused_tasks(inspect.pauses(app.owner.store))
    print_next_page(page.cursor)


def task_json(view: TaskView) -> dict[str, Any]:
    """Return a task as JSON; integers are exact."""
    message, snapshot = view.message, view.snapshot
    shown: dict[str, Any] = {"id": view.id, "state": view.state}
    if message is None:
        shown["problem"] = view.problem
    else:
        shown |= {
            "task": message.task, "queue": message.queue, "priority": message.priority, "args": message.args,
            "kwargs": message.kwargs, "headers": message.headers,
        }  # fmt: skip
    for name in ("enqueued_ms", "due_ms", "first_started_ms", "started_ms", "finished_ms", "attempts"):
        shown[name] = getattr(snapshot, name)
    shown |= {"worker": snapshot.worker, "waits_for": snapshot.waits_for, "reports": snapshot.reports}
    if snapshot.is_finished:
        shown |= {"error": view.error} if view.error is not None else {"result": view.result}
    return shown
