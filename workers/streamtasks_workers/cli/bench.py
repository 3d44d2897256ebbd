"""The command ``streamtasks bench``: what a server and this machine can do."""

from __future__ import annotations

import click

from .target import Target, target_options

__all__ = ["bench_command"]


@click.command("bench")
@target_options
@click.option("--tasks", type=click.IntRange(100, 1_000_000), default=20_000, show_default=True, help="Tasks to drain.")
@click.option(
    "--concurrency", type=click.IntRange(1, 100), default=2, show_default=True, help="Children of the worker."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def bench_command(target: Target, tasks: int, concurrency: int, as_json: bool) -> None:
    """Measure the app's server with tasks that do nothing, and a worker of its own on this machine.

    It writes under a prefix of its own, which it removes afterwards; other tasks on the server are slower meanwhile.
    """
    from ..benchmark.figures import measure
    from .output import clean, print_json

    try:
        found = measure(target.one().settings, tasks, concurrency)
    except TimeoutError:
        raise click.ClickException("The worker did not drain the tasks in 2 minutes; try fewer --tasks.") from None
    if as_json:
        print_json(found._asdict())
    else:
        click.echo(f"enqueue, many together: {found.enqueued_per_s:,.0f} tasks/s")
        click.echo(f"enqueue, one: {found.enqueue_ms:.2f} ms")
        click.echo(f"drain, {found.children} children: {found.drained_per_s:,.0f} tasks/s")
        click.echo(f"start in an idle worker: median {found.start_p50_ms:.0f} ms, 99% {found.start_p99_ms:.0f} ms")
    if found.left:
        raise click.ClickException(clean(f"Keys under {found.prefix!r} could not be removed: {found.left}"))
