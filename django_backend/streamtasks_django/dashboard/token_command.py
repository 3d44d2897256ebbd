"""The command ``streamtasks token``: make a token for the dashboard's JSON API."""

from __future__ import annotations

import json

import click

__all__ = ["ROLES", "token"]

ROLES = ("view", "see_arguments", "operate", "administer")
"""`access.ROLES`, here because ``--help`` shall not import Django."""


@click.command("token")
@click.argument("name")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(ROLES),
    default=("view",),
    show_default=True,
    help="May do this.",
)
@click.option("--expires", help="Until then it is valid, as 2027-01-31; UTC if it names no zone.")
def token(name: str, roles: tuple[str, ...], expires: str | None) -> None:
    """Make a token called NAME for the dashboard's JSON API.

    It is shown here and nowhere else; its digest goes into STREAMTASKS["DASHBOARD_TOKENS"], or into the file that this
    names. To revoke it, take that out.
    """
    from datetime import datetime

    from .api.tokens import digest, new_token

    if expires is not None:
        try:
            datetime.fromisoformat(expires)
        except ValueError:
            raise click.BadParameter(f"{expires!r} is no time as 2027-01-31.", param_hint="--expires") from None
    made = new_token()
    entry = {"sha256": digest(made), "roles": sorted({"view", *roles}, key=ROLES.index)}
    if expires is not None:
        entry["expires"] = expires
    click.echo(f"token  {made}")
    click.echo(f"keep   {json.dumps({name: entry})}")
