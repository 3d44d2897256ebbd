"""The command ``streamtasks dashboard``."""

from __future__ import annotations

import click

from streamtasks_workers.cli.target import app_option, reporting_errors, settings_option

__all__ = ["dashboard"]


def _address(_context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, int]:
    host, colon, port = value.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535 or not host.strip("[]"):
        raise click.BadParameter(f"{value!r} is not HOST:PORT, as 127.0.0.1:8765 or [::1]:8765.", param=parameter)
    return host.strip("[]"), int(port)


@click.command("dashboard")
@app_option
@settings_option
@click.option(
    "--bind",
    callback=_address,
    default="127.0.0.1:8765",
    show_default=True,
    help="Where it listens, HOST:PORT; port 0: a free one.",
)
@click.option("--host", "hosts", multiple=True, help="A name under which browsers may reach it, such as tasks.example.")
@click.option("--read-only", is_flag=True, help="Show everything, change nothing.")
@click.option("--tokens", type=click.Path(dir_okay=False), help="A JSON file with tokens for the JSON API.")
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False),
    help="The same; browsers come in by these tokens as well, with the roles of each, and by nothing else.",
)
@reporting_errors
def dashboard(
    app: str | None,
    settings: str | None,
    bind: tuple[str, int],
    hosts: tuple[str, ...],
    read_only: bool,
    tokens: str | None,
    token_file: str | None,
) -> None:
    """Serve the dashboard; Ctrl-C stops it.

    The address that is printed lets one browser in, once; another address follows for the next one. Needs the extra
    streamtasks[dashboard].
    """
    from .serve import Options, serve

    serve(Options(app, settings, *bind, hosts, read_only, tokens, token_file), click.echo)
