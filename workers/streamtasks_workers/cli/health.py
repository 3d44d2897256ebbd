"""The command ``streamtasks health``: whether a worker of this host lives, as a probe asks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

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
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of app, host, is_well, worker, silent_ms.")
def health_command(
    app: str | None, settings: str | None, backends: tuple[str, ...], within: float, as_json: bool
) -> None:
    """Exit with 0 if a worker of this host has lately given a sign of life on the server, for each app or backend.

    Else with 1, also if the server does not answer; with 2 if app or settings are wrong. For probes of readiness: do
    not restart a worker because of it, since a server that is away makes every worker of it unready.
    """
    from streamtasks.exceptions import ConfigurationError, StreamTasksError

    from ..app_loader import load
    from .output import print_json

    try:
        answers = [_state(one, within) for one in load(app, settings, backends)]
    except StreamTasksError as error:
        click.echo(f"streamtasks health: {error}", err=True)
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)
    if as_json:
        print_json(answers)
    else:
        for answer in answers:
            click.echo(_line(answer), err=not answer["is_well"])
    sys.exit(0 if all(answer["is_well"] for answer in answers) else 1)


def _state(app: Application, within_s: float) -> dict[str, Any]:
    """Return which worker of this host serves an app and gave the latest sign of life, and whether that is recent."""
    import socket

    from streamtasks.stores.factory import open_store

    host = socket.gethostname()
    workers = open_store(app.settings).workers()
    ours = [one for one in workers if (one.about.get("host"), one.about.get("app")) == (host, app.label)]
    answer: dict[str, Any] = {"app": app.label, "host": host, "is_well": False, "worker": None, "silent_ms": None}
    if ours:
        last = min(ours, key=lambda one: one.silent_ms)
        is_well = last.silent_ms <= within_s * 1000
        answer |= {"is_well": is_well, "worker": last.name, "silent_ms": last.silent_ms}
    return answer


def _line(answer: dict[str, Any]) -> str:
    if answer["worker"] is None:
        return f"{answer['app']}: no worker of {answer['host']} is registered"
    return f"{answer['app']}: {answer['worker']}, last sign of life {answer['silent_ms'] / 1000:.1f} s ago"
