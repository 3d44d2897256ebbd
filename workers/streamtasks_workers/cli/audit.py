"""The command ``streamtasks audit``: who changed what, and why."""

from __future__ import annotations

import click

from .target import Target, target_options

__all__ = ["audit_command"]


@click.command("audit")
@target_options
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True, help="Entries of a page.")
@click.option("--before", default="", help="Continue behind a page: the cursor of its last entry.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def audit_command(target: Target, limit: int, before: str, as_json: bool) -> None:
    """Show a page of what operators changed, the newest first."""
    from streamtasks.operations import audit

    from .output import moment, print_json, print_table

    found = audit.entries(target.owner.store, before, limit).entries
    if as_json:
        print_json([{name: value for name, value in one._asdict().items() if name != "nonce"} for one in found])
        return
    if not found:
        click.echo("nobody has changed anything" if not before else "there are no older entries")
        return
    rows = [[one.cursor, moment(one.at_ms), one.actor, one.operation, one.target, one.reason or "-"] for one in found]
    print_table(["cursor", "time", "actor", "operation", "target", "reason"], rows)
