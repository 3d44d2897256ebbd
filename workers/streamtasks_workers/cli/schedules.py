"""The command ``streamtasks schedules``: list schedules and change them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import click

from .target import Target, app_option, reporting_errors, settings_option

__all__ = ["MISFIRES", "schedules_command"]

MISFIRES: Final = ("one", "skip", "all")
"""`streamtasks.schedules.occurrences.MISFIRES`, here because ``--help`` shall not import the engine."""

_PAGE: Final = 1000


def _schedules_of(app: Any) -> Any:
    return app.schedules


@click.group("schedules")
@app_option
@settings_option
@click.option("--backend", help="An alias of TASKS; needed if there are several and none is named default.")
@click.pass_context
def schedules_command(context: click.Context, app: str | None, settings: str | None, backend: str | None) -> None:
    """List schedules and change them."""
    context.obj = Target(app, settings, backend)


@schedules_command.command("list")
@click.pass_obj
@reporting_errors
def list_(target: Target) -> None:
    """Show all schedules: their tasks, rules, next occurrences and counts."""
    apps = target.all()
    rows = [["name", "task", "rule", "next run", "state", "fired", "missed"]]
    for app in apps:
        after = ""
        while some := _schedules_of(app).list(_PAGE, after):
            label = f"{app.label}: " if len(apps) > 1 else ""
            rows += [
                [
                    label + one.name,
                    one.task,
                    repr(one.rule),
                    _time(one.next_run),
                    _state(one),
                    str(one.fired),
                    str(one.missed),
                ]
                for one in some
            ]
            after = some[-1].name
    _table(rows)


@schedules_command.command()
@click.argument("name")
@click.pass_obj
@reporting_errors
def show(target: Target, name: str) -> None:
    """Show everything that is known of one schedule."""
    one = _schedules_of(target.one()).get(name)
    shown = {
        "name": one.name, "state": _state(one), "task": one.task, "args": list(one.args), "kwargs": dict(one.kwargs),
        "options": dict(one.options), "rule": one.rule, "next run": _time(one.next_run), "misfire": one.misfire,
        "misfire bound": one.misfire_bound, "fired": one.fired, "missed": one.missed, "last run": _time(one.last_run),
        "last task": one.last_task_id or "-", "error": one.error or "-",
    }  # fmt: skip
    _table([[key, str(value)] for key, value in shown.items()])


def _json(_context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    if value is None:
        return None
    with suppress(ValueError):
        found = json.loads(value)
        if isinstance(found, list if parameter.name == "args" else dict):
            return found
    raise click.BadParameter(f"{value!r} is not a JSON {'list' if parameter.name == 'args' else 'object'}.")


def _rule(cron: str | None, every: float | None, tz: str | None) -> Any:
    """Return the rule of the options; None: there is none."""
    if cron is not None and every is not None:
        raise click.UsageError("Give --cron or --every, not both.")
    if tz is not None and cron is None:
        raise click.UsageError("--tz is for --cron.")
    if cron is None:
        return every
    from streamtasks.schedules.rules import rule_of, zone_name

    return rule_of(cron).in_zone(zone_name(tz)) if tz is not None else cron


def _definition_options[**P](command: Callable[P, None]) -> Callable[P, None]:
    """Give a command the options of a schedule's definition."""
    options = (
        click.option("--cron", help="Five fields: minute, hour, day of month, month, day of week."),
        click.option("--tz", help="The time zone of --cron, such as Europe/Berlin; else the app's."),
        click.option("--every", type=float, help="Instead of --cron: an interval, seconds."),
        click.option("--args", callback=_json, help="Arguments of each call, a JSON list."),
        click.option("--kwargs", callback=_json, help="Keyword arguments of each call, a JSON object."),
        click.option("--options", callback=_json, help="Options of each call (queue, priority, ...), a JSON object."),
        click.option("--misfire", type=click.Choice(MISFIRES), help="Which late occurrences are fired [default: one]."),
        click.option("--misfire-bound", type=float, help="Seconds after which an occurrence is not fired any more."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _given_values(cron: str | None, tz: str | None, every: float | None, given: dict[str, Any]) -> dict[str, Any]:
    """Return the options by the names of `Schedules.create`."""
    options: dict[str, Any] = given.pop("options") or {}
    given_values = {"schedule": _rule(cron, every, tz), **given}
    return {name: value for name, value in given_values.items() if value is not None} | options


@schedules_command.command()
@click.argument("name")
@click.argument("task")
@_definition_options
@click.option("--paused", is_flag=True, help="Create it paused.")
@click.pass_obj
@reporting_errors
def create(
    target: Target, /, name: str, task: str, cron: str | None, tz: str | None, every: float | None, **given: Any
) -> None:
    """Create a schedule NAME that calls TASK."""
    if cron is None and every is None:
        raise click.UsageError("Give --cron or --every.")
    _print(_schedules_of(target.one()).create(name, task, **_given_values(cron, tz, every, given)))


@schedules_command.command()
@click.argument("name")
@click.option("--task", help="Call another task; nothing of the old call stays.")
@_definition_options
@click.pass_obj
@reporting_errors
def update(target: Target, /, name: str, cron: str | None, tz: str | None, every: float | None, **given: Any) -> None:
    """Change a schedule; what is not given stays as it is."""
    changes = _given_values(cron, tz, every, given)
    if not changes:
        raise click.UsageError("Give a change: --cron, --every, --task, --args, --kwargs, --options, --misfire.")
    _print(_schedules_of(target.one()).update(name, **changes))


def _print(one: Any) -> None:
    click.echo(f"{one.name}: {one.rule!r}, next run {_time(one.next_run)}")


def _simple(word: str, about: str, act: Callable[[Any, str], Any]) -> None:
    @schedules_command.command(word, help=about)
    @click.argument("name")
    @click.pass_obj
    @reporting_errors
    def command(target: Target, name: str) -> None:
        answer = act(_schedules_of(target.one()), name)
        click.echo(f"{name}: {word}" if answer is None else f"{name}: task {answer.id}")


_simple("pause", "Pause a schedule until it is resumed.", lambda schedules, name: schedules.pause(name))
_simple("resume", "Resume a paused schedule from now on.", lambda schedules, name: schedules.resume(name))
_simple("run", "Enqueue one call now; the schedule stays as it is.", lambda schedules, name: schedules.run_now(name))


@schedules_command.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Also one that code declares; it comes back if the code still does.")
@click.pass_obj
@reporting_errors
def delete(target: Target, name: str, force: bool) -> None:
    """Delete a schedule."""
    _schedules_of(target.one()).delete(name, force=force)
    click.echo(f"{name}: deleted")


def _time(moment: datetime | None) -> str:
    return "-" if moment is None else moment.isoformat(sep=" ", timespec="seconds").replace("+00:00", "Z")


def _state(one: Any) -> str:
    words = ["unreadable" if one.error else "paused" if one.paused else "active"]
    return ", ".join([*words, f"declared by {one.declared}"] if one.declared else words)


def _table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
