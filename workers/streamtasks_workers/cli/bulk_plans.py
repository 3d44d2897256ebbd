"""Plan a bulk operation, show it, and apply it; shared by the commands that change many tasks."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamtasks.operations.bulk import Bulk
    from streamtasks.operations.filters import TaskFilter
    from streamtasks.stores.owner import Owner

    from .filter_options import Chosen

__all__ = ["bulk_json", "is_for_all", "plan_and_apply", "plan_options", "print_end"]


def plan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --dry-run, --yes, --rate and --detach; the command gets them as ``how``, for `plan_and_apply`."""

    @click.option("--dry-run", is_flag=True, help="Only count, and show some; `bulk apply` does it later.")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @click.option("--rate", type=click.FloatRange(0), default=0.0, help="So many a second at most; 0: without a limit.")
    @click.option("--detach", is_flag=True, help="Leave it to the workers; `bulk show` tells how far it is.")
    @wraps(command)
    def run(*given: Any, dry_run: bool, yes: bool, rate: float, detach: bool, **rest: Any) -> None:
        command(*given, how={"dry_run": dry_run, "yes": yes, "rate": rate, "detach": detach}, **rest)

    return run


def is_for_all(named: Sequence[str], all_: bool, chosen: Chosen, how: Any, what: str) -> bool:
    """Return whether a command is about all that a filter chooses, and not about those that are named, ``what``.

    Raises:
        UsageError: nothing is named, or an option belongs to --all.
    """
    if not all_ and not named:
        raise click.UsageError(f"Name {what}, or give --all.")
    if not all_ and (chosen or how["dry_run"] or how["rate"] or how["detach"]):
        raise click.UsageError("Options that choose, --dry-run, --rate and --detach belong to --all.")
    return all_


def plan_and_apply(
    owner: Owner, operation: str, where: TaskFilter, by: Any, how: Any, changes: dict[str, Any] | None = None
) -> None:
    """Plan an operation, show its count and a sample, ask, and apply it.

    Raises:
        UsageError: it is not for tasks of that state.
    """
    from streamtasks.exceptions import InvalidTask
    from streamtasks.operations import bulk

    from .output import clean, short

    try:
        planned = bulk.plan(owner, operation, where, changes=changes, **by)
    except InvalidTask as error:
        raise click.UsageError(clean(str(error))) from error
    click.echo(f"to {operation}: {planned.counts.total} with {short(planned.filter)}")
    for task_id, call in planned.sample:
        click.echo(f"  {short(task_id)}  {short(call)}")
    if planned.counts.total > len(planned.sample):
        click.echo(f"  and {planned.counts.total - len(planned.sample)} more")
    if how["dry_run"]:
        click.echo(f"to do it: streamtasks bulk apply {planned.id}")
        return
    if not planned.counts.total:
        bulk.abort(owner, planned.id, **by)
        return
    if not how["yes"] and not click.confirm("Go on?"):
        bulk.abort(owner, planned.id, **by)
        raise click.Abort
    bulk.apply(owner, planned.id, rate=how["rate"], **by)
    print_end(owner, planned.id, detach=how["detach"])


def print_end(owner: Owner, bulk_id: str, *, detach: bool) -> None:
    """Wait until an operation is not being applied any more, helping the workers, and say what was done."""
    from streamtasks.operations.bulk_steps import run

    from .output import clean

    if detach:
        click.echo(f"bulk {bulk_id}: left to the workers")
        return
    done = run(owner, bulk_id)
    counts = done.counts
    undone = f", restored {counts.restored}" if counts.restored else ""
    click.echo(
        f"bulk {bulk_id}: {done.state.lower()}, applied {counts.applied}, skipped {counts.skipped}, "
        f"refused {counts.refused}{undone}"
    )
    for problem in done.problems:
        click.echo(f"  {clean(problem)}")
    if counts.refused:
        click.get_current_context().exit(1)


def bulk_json(bulk: Bulk) -> dict[str, Any]:
    """Return a bulk operation as JSON."""
    names = ("id", "operation", "filter", "actor", "reason", "state", "created_ms", "changed_ms", "rate", "problems")
    shown = {name: getattr(bulk, name) for name in names}
    sample = [{"id": task_id, "call": call} for task_id, call in bulk.sample]
    return {**shown, "state": bulk.state.value, **bulk.counts._asdict(), "sample": sample}
