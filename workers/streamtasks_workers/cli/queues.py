"""The command ``streamtasks queues``: list, pause, resume, purge, move and forget queues; pause single tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from .bulk_plans import plan_and_apply, plan_options
from .filter_options import Chosen
from .listing_group import ListingGroup
from .target import Target, change_options, target_options

if TYPE_CHECKING:
    from streamtasks.operations.inspect import QueueView
    from streamtasks.stores.steering_types import Pause

__all__ = ["pause_json", "print_paused_tasks", "print_queues", "queue_json", "queues_command"]


@click.group("queues", cls=ListingGroup)
def queues_command() -> None:
    """List queues, pause and resume them, revoke what waits in them, forget empty ones."""


@queues_command.command("list")
@target_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(target: Target, as_json: bool) -> None:
    """Show the queues that had a task lately: lengths, the oldest task, workers that serve them, pauses."""
    from streamtasks.operations import inspect

    from .output import print_json

    store = target.owner.store
    found = inspect.queues(store)
    if as_json:
        print_json([queue_json(one) for one in found])
    else:
        print_queues(found)
        print_paused_tasks(inspect.pauses(store))


@queues_command.command("pause")
@target_options
@click.argument("queue", required=False)
@click.option("--everything", is_flag=True, help="All queues, also those to come.")
@click.option("--task", help="The task of this name in place of a queue, wherever it is enqueued.")
@change_options
def pause(target: Target, queue: str | None, everything: bool, task: str | None, by: Any) -> None:
    """Let nothing more be claimed of a queue, or of a task, until it is resumed.

    What workers hold runs to its end. Delayed, scheduled and retried tasks come to the queue and wait there.
    """
    from streamtasks.operations import control

    name = _named(queue, everything, task)
    is_new = control.pause(target.owner, name, task=task or "", **by)
    click.echo(f"{task or name or 'everything'}: paused" + ("" if is_new else " (it was before)"))


@queues_command.command("resume")
@target_options
@click.argument("queue", required=False)
@click.option("--everything", is_flag=True, help="End the pause of everything; queues with one of their own keep it.")
@click.option("--task", help="The task of this name.")
@change_options
def resume(target: Target, queue: str | None, everything: bool, task: str | None, by: Any) -> None:
    """Let workers claim of a queue, or a task, again."""
    from streamtasks.operations import control

    name = _named(queue, everything, task)
    was_paused = control.resume(target.owner, name, task=task or "", **by)
    click.echo(f"{task or name or 'everything'}: " + ("resumed" if was_paused else "was not paused"))


@queues_command.command("purge")
@target_options
@click.argument("queue")
@click.option("--yes", is_flag=True, help="Do not ask.")
@change_options
def purge(target: Target, queue: str, yes: bool, by: Any) -> None:
    """Revoke the tasks that wait in a queue now. What workers hold, and what is delayed or limited, stays."""
    from streamtasks.operations import bulk
    from streamtasks.operations.bulk_steps import run
    from streamtasks.operations.filters import TaskFilter

    owner = target.owner
    planned = bulk.plan(owner, "revoke", TaskFilter("queued", queue=queue), **by)
    if not yes and not click.confirm(f"Revoke {planned.counts.total} tasks of queue {queue}?"):
        bulk.abort(owner, planned.id, **by)
        raise click.Abort
    bulk.apply(owner, planned.id, **by)
    click.echo(f"{queue}: tasks revoked: {run(owner, planned.id).counts.applied}")


@queues_command.command("move")
@target_options
@click.argument("queue")
@click.argument("to")
@click.argument("words", nargs=-1, metavar="[FILTER]...")
@plan_options
@change_options
def move(target: Target, queue: str, to: str, words: tuple[str, ...], how: Any, by: Any) -> None:
    """Let the tasks that wait in a queue wait in another one, behind what waits there; their ids stay.

    FILTER chooses some of them, and `state:delayed` or `state:limited` those that wait for their time or for a limit.
    What workers hold stays. It is a bulk operation, which counts them and shows some before it asks; see `bulk`.
    """
    owner = target.owner
    where = Chosen([("queue", queue)]).filter(owner, words, "queued")
    plan_and_apply(owner, "move", where, by, how, {"queue": to})


@queues_command.command("forget")
@target_options
@click.argument("queue")
@change_options
def forget(target: Target, queue: str, by: Any) -> None:
    """Let an empty queue leave the lists. The next task that comes makes it again."""
    from streamtasks.operations import control

    was_there = control.forget(target.owner, queue, **by)
    click.echo(f"{queue}: " + ("forgotten" if was_there else "is not known"))


def _named(queue: str | None, everything: bool, task: str | None) -> str:
    """Return the queue's name; empty: everything, or the task."""
    if [queue is not None, everything, task is not None].count(True) != 1:
        raise click.UsageError("Name a queue, or give --everything, or --task.")
    return queue or ""


def pause_json(pause: Pause) -> dict[str, Any]:
    """Return a pause as JSON."""
    return {**pause._asdict(), "queue": pause.queue or None, "task": pause.task or None}


def queue_json(view: QueueView) -> dict[str, Any]:
    """Return a queue as JSON."""
    return {**view._asdict(), "paused": None if view.paused is None else pause_json(view.paused)}


def print_queues(found: Sequence[QueueView]) -> None:
    """Print queues as a table."""
    from .output import age, print_table

    rows = [
        [
            one.queue,
            *map(str, (one.ready, one.claimed, one.delayed, one.limited)),
            age(one.oldest_ms),
            str(one.workers),
            _pause(one.paused),
        ]
        for one in found
    ]
    print_table(["queue", "ready", "claimed", "delayed", "limited", "oldest", "workers", "paused"], rows)


def print_paused_tasks(pauses: Sequence[Pause]) -> None:
    """Print a line for each task that is paused."""
    from .output import clean

    for pause in pauses:
        if pause.task:
            click.echo(clean(f"task {pause.task} is paused {_pause(pause)}"))


def _pause(pause: Pause | None) -> str:
    if pause is None:
        return "-"
    where = "" if pause.is_whole else " (on some shards only: pause or resume it again)"
    return f"by {pause.actor}" + (f": {pause.reason}" if pause.reason else "") + where
