"""The options by which commands choose tasks: one grammar, that of `streamtasks.operations.filters`."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import wraps
from typing import Any

import click

__all__ = ["filter_options"]


def _value(text: str) -> Any:
    """Return a JSON value; what is none is a text."""
    with suppress(ValueError):
        return json.loads(text)
    return text


def _pairs(_context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, Any]:
    found = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{one!r} is not NAME=VALUE.", param=parameter)
        found[name] = _value(value)
    return found


def _moment(_context: click.Context, parameter: click.Parameter, given: str | None) -> int:
    if given is None:
        return 0
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        raise click.BadParameter(f"{given!r} is no time as 2026-11-28T06:00.", param=parameter) from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add options that choose tasks; the command gets them as ``chosen``, fields of a `TaskFilter`."""

    @click.option("--name", "task", default="", help="The name of the task.")
    @click.option("--after", "after_ms", callback=_moment, help="Not before this time; UTC if it names no zone.")
    @click.option("--before", "before_ms", callback=_moment, help="Before this time.")
    @click.option("--error", default="", help="The type of its error, as ValueError; of dead letters also the reason.")
    @click.option("--arg", "args_", multiple=True, callback=_pairs, help="NAME=VALUE or NUMBER=VALUE, VALUE in JSON.")
    @click.option("--header", "headers", multiple=True, callback=_pairs, help="The same of a header.")
    @wraps(command)
    def run(*given: Any, **rest: Any) -> None:
        chosen = {name: rest.pop(name) for name in ("task", "after_ms", "before_ms", "error", "headers")}
        command(*given, chosen={**chosen, "args": rest.pop("args_")}, **rest)

    return run
