"""The command ``streamtasks bulk``: plan bulk operations, look at them, apply, abort and undo them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from .filter_options import Chosen, filter_options
from .listing_group import ListingGroup
from .target import Target, change_options, target_options

if TYPE_CHECKING:
    from streamtasks.stores.owner import Owner

__all__ = ["OPERATIONS", "bulk_command"]


@click.group("bulk", cls=ListingGroup)
def bulk_command() -> None:
    """Plan bulk operations, look at them, apply, abort and undo them. Without BULK_ID it is the latest.

    They begin with `bulk plan`, or with commands that have --all, as `dead-letters replay`.
    """


OPERATIONS: Final = ("replay", "discard", "revoke", "retry", "move")
"""`streamtasks.operations.bulk.OPERATIONS`, here because ``--help`` shall not import the engine."""

_STATES: Final = {"replay": "dead", "discard": "dead", "retry": "failed"}
"""The state of a filter that names none; else it is as `tasks` takes it."""


def _named(owner: Owner, bulk_id: str | None) -> str:
    """Return the id of an operation, by default that of the latest."""
    if bulk_id:
        return bulk_id
    found = owner.store.bulks(1)
    if not found:
        raise click.ClickException("There was no bulk operation.")
    return found[0].id


@bulk_command.command("plan")
@target_options
@click.argument("operation", type=click.Choice(OPERATIONS))
@click.argument("words", nargs=-1, metavar="[FILTER]...")
@filter_options(has_state=True)
@click.option("--to", help="The queue to which move brings the tasks.")
@change_options
def plan(target: Target, operation: str, words: tuple[str, ...], chosen: Chosen, to: str | None, by: Any) -> None:
    """Count what an operation would do, and show some; nothing is changed before `bulk apply`.

    Without a state, revoke and move are about queued tasks, retry about failed ones, the others about dead letters.
    """
    from .bulk_plans import plan_and_apply

    owner = target.owner
    where = chosen.filter(owner, words, _STATES.get(operation, "queued"))
    plan_and_apply(owner, operation, where, by, {"dry_run": True}, {"queue": to} if to else None)


@bulk_command.command("list")
@target_options
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(target: Target, limit: int, as_json: bool) -> None:
    """Show the latest bulk operations, newest first."""
    from streamtasks.operations import bulk

    from .bulk_plans import bulk_json
    from .output import moment, print_json, print_table, short

    found = bulk.listed(target.owner, limit)
    if as_json:
        print_json([bulk_json(one) for one in found])
        return
    rows = [
        [one.id, one.operation, one.state, f"{one.counts.done}/{one.counts.total}", one.actor, moment(one.changed_ms),
         short(one.filter)]
        for one in found
    ]  # fmt: skip
    print_table(["id", "operation", "state", "done", "actor", "since", "filter"], rows)


@bulk_command.command("show")
@target_options
@click.argument("bulk_id", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(target: Target, bulk_id: str | None, as_json: bool) -> None:
    """Show a bulk operation: how far it is, and some of its members."""
    from streamtasks.operations import bulk

    from .bulk_plans import bulk_json
    from .output import moment, print_json, print_table, short

    owner = target.owner
    found = bulk.find(owner, _named(owner, bulk_id))
    if as_json:
        print_json(bulk_json(found))
        return
    counts = found.counts
    rows = [
        ["operation", found.operation],
        ["filter", found.filter],
        ["state", f"{found.state} since {moment(found.changed_ms)}"],
        ["by", f"{found.actor}: {found.reason}" if found.reason else found.actor],
        ["done", f"{counts.done} of {counts.total}"],
        ["of these", f"applied {counts.applied}, skipped {counts.skipped}, refused {counts.refused}"],
    ]
    if counts.restored:
        rows.append(["restored", str(counts.restored)])
    rows += [["member", short(f"{task_id}  {call}")] for task_id, call in found.sample]
    rows += [["problem", short(one, 300)] for one in found.problems]
    print_table(["bulk", found.id], rows)


@bulk_command.command("apply")
@target_options
@click.argument("bulk_id", required=False)
@click.option("--rate", type=click.FloatRange(0), default=0.0, help="So many a second at most; 0: without a limit.")
@click.option("--detach", is_flag=True, help="Leave it to the workers; `bulk show` tells how far it is.")
@change_options
def apply(target: Target, bulk_id: str | None, rate: float, detach: bool, by: Any) -> None:
    """Apply what was planned, or go on with what was aborted. Exit status 1 if something was refused."""
    from streamtasks.operations import bulk

    from .bulk_plans import print_end

    owner = target.owner
    bulk_id = _named(owner, bulk_id)
    bulk.apply(owner, bulk_id, rate=rate, **by)
    print_end(owner, bulk_id, detach=detach)


@bulk_command.command("abort")
@target_options
@click.argument("bulk_id", required=False)
@change_options
def abort(target: Target, bulk_id: str | None, by: Any) -> None:
    """Stop a bulk operation; what has been done stays, and `apply` goes on with the rest."""
    from streamtasks.operations import bulk

    owner = target.owner
    bulk_id = _named(owner, bulk_id)
    counts = bulk.abort(owner, bulk_id, **by).counts
    click.echo(f"bulk {bulk_id}: aborted, {counts.done} of {counts.total} were done")


@bulk_command.command("undo")
@target_options
@click.argument("bulk_id", required=False)
@change_options
def undo(target: Target, bulk_id: str | None, by: Any) -> None:
    """Put dead letters back that a bulk operation has discarded less than an hour ago."""
    from streamtasks.operations import bulk

    from .bulk_plans import print_end

    owner = target.owner
    bulk_id = _named(owner, bulk_id)
    bulk.undo(owner, bulk_id, **by)
    print_end(owner, bulk_id, detach=False)
