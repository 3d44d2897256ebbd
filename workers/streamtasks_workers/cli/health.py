"""The command ``streamtasks health``: whether a worker of this host lives, as a probe asks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from .target import app_option, settings_option

if TYPE_CHECKING:
    from streamtasks.application import Application

__all__ = ["health_command"]


def _aliases(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (value or "").split(",") if part.strip())


@click.command("health")
@app_option
@settings_option
@click.option(
    "--backend",
    "backends",
    envvar="STREAMTASKS_WORKER_BACKEND",
    callback=_aliases,
    help="Only these aliases of TASKS, comma separated.",
)
@click.option(
    "--within",
    type=click.FloatRange(min=1),
    default=15.0,
    show_default=True,
    help="Seconds: so old may the last sign of life be. A worker gives one every 5 s (10 s with a longer idle_poll).",
)
def health_command(app: str | None, settings: str | None, backends: tuple[str, ...], within: float) -> None:
    """Exit with 0 if a worker of this host has lately given a sign of life on the server, for each app or backend.

    Else with 1, also if the server does not answer; with 2 if app or settings are wrong. For probes of readiness: do
    not restart a worker because of it, since a server that is away makes every worker of it unready.
    """
    from streamtasks.exceptions import ConfigurationError, StreamTasksError

    from ..app_loader import load

    try:
        answers = [_state(one, within) for one in load(app, settings, backends)]
    except StreamTasksError as error:
        click.echo(f"streamtasks health: {error}", err=True)
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)
    for text, is_well in answers:
        click.echo(text, err=not is_well)
    sys.exit(0 if all(is_well for _, is_well in answers) else 1)


def _state(app: Application, within_s: float) -> tuple[str, bool]:
    """Return a line about the workers of this host that serve an app, and whether one of them lives."""
    import socket

    from streamtasks.stores.factory import open_store

    host = socket.gethostname()
    workers = open_store(app.settings).workers()
    ours = [one for one in workers if (one.about.get("host"), one.about.get("app")) == (host, app.label)]
    if not ours:
        return f"{app.label}: no worker of {host} is registered", False
    last = min(ours, key=lambda one: one.silent_ms)
    is_well = last.silent_ms <= within_s * 1000
    return f"{app.label}: {last.name}, last sign of life {last.silent_ms / 1000:.1f} s ago", is_well
