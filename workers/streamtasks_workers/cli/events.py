"""The command ``streamtasks events``: what happens to tasks, workers and queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .target import Target, target_options

if TYPE_CHECKING:
    from streamtasks.stores.inspection_types import Events

__all__ = ["events_command"]


@click.command("events")
@target_options
@click.option("--follow", is_flag=True, help="Go on with new events, from now unless there is a cursor.")
@click.option("--cursor", help="Continue behind an earlier page: the cursor that was printed with it.")
@click.option("--count", type=click.IntRange(1), help="End after about so many events.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
def events_command(target: Target, follow: bool, cursor: str | None, count: int | None, as_json: bool) -> None:
    """Show what happens to tasks, oldest first: accepted, started, settled with the outcome, revoked.

    Events are written while somebody follows them, and always with the setting send_events.
    """
    from streamtasks.operations.events import watch_events

    from .output import clean

    store = target.owner.store
    shown, last = 0, cursor or ""
    try:
        if follow:
            for page in watch_events(store, cursor):
                shown, last = shown + len(page.events), page.cursor
                _print(page, as_json=as_json)
                if count is not None and shown >= count:
                    break
        else:
            while (page := store.events(last)).events:
                shown, last = shown + len(page.events), page.cursor
                _print(page, as_json=as_json)
                if count is not None and shown >= count:
                    break
    except KeyboardInterrupt:
        click.echo()
    if not as_json and last:
        click.echo(f"cursor: {clean(last)}")


def _print(page: Events, *, as_json: bool) -> None:
    import json

    from .output import clean, moment

    for one in page.events:
        if as_json:
            click.echo(json.dumps({**one._asdict(), "cursor": page.cursor}))
        else:
            click.echo(clean(f"{moment(one.at_ms)} {one.kind} {one.id} {one.detail}").rstrip())
