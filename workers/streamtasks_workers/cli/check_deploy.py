"""The command ``streamtasks check-deploy``: would all calls that wait bind to the code that is here?"""

from __future__ import annotations

import click

from .target import Target, target_options

__all__ = ["check_deploy_command"]


@click.command("check-deploy")
@target_options
@click.option("--most", type=click.IntRange(1), default=100_000, show_default=True, help="Calls to look at.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check_deploy_command(target: Target, most: int, as_json: bool) -> None:
    """Bind queued, delayed and limited calls, what follows them, and schedules to this code. Nothing runs.

    Run it with the new code before it is deployed. The exit status is 1 if a call would fail: its task is not known
    here, or its arguments do not fit the function any more; or if there are more calls than --most.
    """
    from streamtasks.operations.deploy_check import check_deploy

    from .output import clean, print_json, print_table

    found = check_deploy(target.one(), most)
    if as_json:
        print_json({**found._asdict(), "problems": [one._asdict() for one in found.problems]})
    elif found.problems:
        rows = [[one.task or "?", str(one.calls), one.problem, ", ".join(one.examples)] for one in found.problems]
        print_table(["task", "calls", "problem", "for example"], rows)
    bad = sum(one.calls for one in found.problems)
    if not as_json:
        click.echo(clean(f"calls checked: {found.checked}, that would fail: {bad}"))
        if not found.is_complete:
            click.echo(f"there are more than {most}; see --most")
    if found.problems or not found.is_complete:
        raise click.exceptions.Exit(1)
