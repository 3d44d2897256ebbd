"""The command ``streamtasks status``: how an app's store is now."""

from __future__ import annotations

import click

from .target import Target, target_options

__all__ = ["status_command"]


@click.command("status")
@target_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status_command(target: Target, as_json: bool) -> None:
    """Show counts of tasks, what is paused, workers and queues. It takes the same time however many tasks there are."""
    from streamtasks.operations import inspect

    from .output import age, clean, print_json
    from .queues import pause_json, print_queues, queue_json

    app = target.one()
    found = inspect.status(app.owner.store)
    if as_json:
        shown = found._asdict()
        shown["queues"] = [queue_json(one) for one in found.queues]
        shown["pauses"] = [pause_json(one) for one in found.pauses]
        print_json({"app": app.label, **shown})
        return
    click.echo(f"{clean(app.label)}: {clean(app.settings.shown_url)}, prefix {app.settings.key_prefix!r}")
    click.echo(
        f"unfinished {found.unfinished}: running {found.running}, delayed {found.delayed}, limited {found.limited}"
    )
    ended = ", ".join(f"{state} {count}" for state, count in sorted(found.outcomes.items()))
    click.echo(f"so far: {ended or 'nothing has ended'}")
    overdue = f", schedules overdue for {age(found.overdue_ms)}" if found.overdue_ms else ""
    click.echo(f"dead letters {found.dead_kept}, live workers {found.workers}{overdue}")
    for pause in found.pauses:
        what = f"queue {pause.queue}" if pause.queue else f"task {pause.task}" if pause.task else "everything"
        click.echo(clean(f"paused: {what}, by {pause.actor}: {pause.reason or 'no reason given'}"))
    print_queues(found.queues)
