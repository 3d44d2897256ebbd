"""The command ``streamtasks doctor``: what is wrong with the server, the settings and the work, and what to do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from .target import app_option, reporting_errors, settings_option

if TYPE_CHECKING:
    from streamtasks.application import Application
    from streamtasks.operations.doctor import Diagnosis

__all__ = ["doctor_command"]

FORMAT: Final = 1
"""Of the JSON; it changes when something is taken away or means something else."""

_STYLES: Final = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "bold red"}


@click.command("doctor")
@click.argument("url", required=False)
@app_option
@settings_option
@click.option("--backend", help="Only this alias of TASKS.")
@click.option("--key-prefix", help="With a URL: the first characters of the keys [default: streamtasks:].")
@click.option("--strict", is_flag=True, help="Exit with 1 if there are warnings.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quiet", is_flag=True, help="Leave out what is well.")
@reporting_errors
def doctor_command(
    url: str | None,
    app: str | None,
    settings: str | None,
    backend: str | None,
    key_prefix: str | None,
    strict: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Report what is wrong with the server, the settings and the work, each with what to do.

    Connects as the app would, over one connection, and writes one short key. Exit status: 0 nothing is wrong (or only
    warnings), 1 warnings and --strict, 2 errors or a wrong configuration, 3 a server cannot be reached.
    """
    from streamtasks.operations.doctor import diagnose, exit_status

    apps = _apps(url, app, settings, backend, key_prefix)
    diagnoses = [diagnose(one) for one in apps]
    status = exit_status(diagnoses, strict=strict)
    if as_json:
        shown = {
            "format": FORMAT,
            "exit_status": status,
            "level": max(one.level for one in diagnoses).word,
            "apps": [one.as_dict() for one in diagnoses],
        }
        click.echo(json.dumps(shown, indent=2))
    else:
        _print(diagnoses, quiet=quiet)
    click.get_current_context().exit(status)


def _apps(
    url: str | None, app: str | None, settings: str | None, backend: str | None, key_prefix: str | None
) -> list[Application]:
    if url is None:
        if key_prefix is not None:
            raise click.UsageError("--key-prefix is for a URL; an app has its own.")
        from ..app_loader import load

        return load(app, settings, (backend,) if backend else ())
    from streamtasks import StreamTasks

    more: dict[str, Any] = {} if key_prefix is None else {"key_prefix": key_prefix}
    return [StreamTasks(url, label="url", **more)]


def _print(diagnoses: Sequence[Diagnosis], *, quiet: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from .output import clean

    console = Console(highlight=False, soft_wrap=False)
    for diagnosis in diagnoses:
        console.print(Text(clean(f"{diagnosis.app}: {diagnosis.address}, prefix {diagnosis.key_prefix!r}"), "bold"))
        servers = {finding.where for finding in diagnosis.findings if finding.check == "version"}
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for finding in diagnosis.findings:
            word = finding.level.word
            if quiet and not finding.level:
                continue
            is_needed = finding.where not in finding.message and (len(servers) > 1 or finding.where not in servers)
            where = f"{finding.where}: " if finding.where and is_needed else ""
            shown = Text(clean(where + finding.message))
            if finding.remedy and finding.level:
                shown.append(f"\n{clean(finding.remedy)}", "dim")
            table.add_row(Text(word, _STYLES[word]), Text(finding.check), shown)
        console.print(table)
        counts = [(word, sum(one.level.word == word for one in diagnosis.findings)) for word in _STYLES]
        plurals = [f"{n} {word}{'s' if n > 1 and word != 'ok' else ''}" for word, n in reversed(counts) if n]
        console.print(Text(", ".join(plurals)))
