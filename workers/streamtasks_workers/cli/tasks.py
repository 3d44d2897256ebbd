"""The command ``streamtasks tasks``: tasks by state, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from .target import Target, target_options

if TYPE_CHECKING:
    from streamtasks.operations.inspect import TaskView

__all__ = ["STATES", "task_json", "tasks_command"]

STATES: Final = ("queued", "delayed", "limited", "running", "finished", "succeeded", "failed", "revoked")
"""`streamtasks.operations.inspect.STATES`, here because ``--help`` shall not import the engine."""


@click.command("tasks")
@target_options
@click.option("--state", type=click.Choice(STATES), default="queued", show_default=True, help="Which tasks.")
@click.option("--queue", default="", help="Only those of this queue.")
@click.option("--name", default="", help="Only those of the task of this name, among those of the page.")
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True, help="Tasks of a page.")
@click.option("--cursor", default="", help="Continue behind a page: what it printed last.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def tasks_command(target: Target, state: str, queue: str, name: str, limit: int, cursor: str, as_json: bool) -> None:
    """Show a page of tasks; finished ones come newest first. Its last line has the cursor of the next page, if any.

    A page of finished tasks is not cut between tasks that ended together; where few are wanted, it may be short.
    """
    from streamtasks.operations import inspect

    from .output import call, clean, moment, print_json, print_table, short
    from .queues import print_paused_tasks

    app = target.one()
    page = inspect.tasks(app.owner.store, app.settings.wire, state, cursor, limit, queue)
    found = [one for one in page.tasks if not name or (one.message is not None and one.message.task == name)]
    if as_json:
        print_json({"tasks": [task_json(one) for one in found], "cursor": page.cursor})
        return
    rows = []
    for one in found:
        message, snapshot = one.message, one.snapshot
        when = snapshot.finished_ms or snapshot.due_ms or snapshot.started_ms or snapshot.enqueued_ms
        where = "?" if message is None else f"{message.queue} {message.priority}"
        what = f"? ({one.problem})" if message is None else f"{message.task}({call(message.args, message.kwargs)})"
        rows.append([one.id, one.state, where, moment(when), short(what)])
    if not rows and not page.cursor:
        others = ", ".join(one for one in STATES if one != state)
        click.echo(
            f"no task is {state}" + (" and of this queue or name" if queue or name else "") + f"; --state has {others}"
        )
        return
    print_table(["id", "state", "queue", "since, due or end", "call"], rows)
    if state == "queued":
        print_paused_tasks(inspect.pauses(app.owner.store))
    if page.cursor:
        click.echo(f"next page: --cursor {clean(_quoted(page.cursor))}")


def _quoted(text: str) -> str:
    """Return a text as a shell reads it as one word."""
    import shlex

    return shlex.quote(text)


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
