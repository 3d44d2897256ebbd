"""The command ``streamtasks demo``."""

from __future__ import annotations

import sys

import click

from .interrupts import Interrupted, Interrupts

__all__ = ["demo"]

INTERRUPTED = 130
"""Exit status of a tour that was broken off, as shells have it for Ctrl-C."""


@click.command("demo")
@click.option("--once", is_flag=True, help="A scripted tour without a browser; exits 0 if every outcome is right.")
@click.option("--idle", is_flag=True, help="Enqueue nothing but what you press.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Serve the site here; 0: on a free port.")
def demo(*, once: bool, idle: bool, port: int) -> None:
    """Start a server, a worker, an example site and its dashboard; Ctrl-C stops everything.

    Some tasks are enqueued all the time, so that there is something to see; a few of them fail, on purpose. Nothing
    has to be installed or running, and no data is kept.
    """
    from streamtasks import StreamTasksError

    if sys.platform == "win32":
        raise click.ClickException("Workers need Linux or macOS.")
    try:
        with Interrupts() as interrupts:
            sys.exit(_tour(interrupts) if once else _site(interrupts, port, idle=idle))
    except StreamTasksError as error:
        raise click.ClickException(str(error)) from error


def _site(interrupts: Interrupts, port: int, *, idle: bool) -> int:
    from contextlib import nullcontext

    from .site import check_port, served
    from .stage import CHILDREN, staged

    check_port(port)
    try:
        with staged(interrupts) as stage, served(port) as address:
            click.echo(f"Serving {address}", nl=False)
            click.echo(f"  (an embedded server on port {stage.server.port}, a worker with {CHILDREN} children)")
            click.echo(f"Dashboard {address}dashboard/")
            click.echo("Ctrl-C stops everything.")
            from .trickle import trickling  # Django is set up now

            with nullcontext() if idle else trickling():
                while not interrupts.wait(0.5):
                    stage.check()
            click.echo("\nStopping ...")
    except Interrupted:
        click.echo("\nStopped.")
    return 0


def _tour(interrupts: Interrupts) -> int:
    from .stage import staged

    try:
        with staged(interrupts) as stage:
            from .tour import Tour

            return Tour(stage).run()
    except Interrupted:
        click.echo("\nThe tour was broken off.", err=True)
        return INTERRUPTED
