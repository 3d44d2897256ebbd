"""Print tables, JSON and texts: whatever names, arguments and tracebacks hold, a terminal is not steered by it."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click

from streamtasks.protocol.printable import clean, plain_json

__all__ = ["age", "call", "clean", "lines", "moment", "print_json", "print_next_page", "print_table", "short"]

_WIDE: Final = 10_000
"""Columns of a table that goes to no terminal: nothing is cut or wrapped."""


def lines(text: str) -> list[str]:
    """Return the lines of a text, each as `clean` returns it."""
    return [clean(line) for line in text.split("\n")]


def short(text: str, most: int = 100) -> str:
    """Return a clean text of at most so many characters."""
    text = clean(text[: most + 1])
    return text if len(text) <= most else text[: most - 1] + "…"


def moment(ms: int) -> str:
    """Return a time, ms since the epoch, as text in UTC; 0: "-"."""
    if not ms:
        return "-"
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(sep=" ", timespec="milliseconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):  # a due time may be any integer
        return f"{ms} ms"


def age(ms: int) -> str:
    """Return a duration, ms, as text with two units; 0: "-"."""
    if ms <= 0:
        return "-"
    seconds = ms // 1000
    if not seconds:
        return f"{ms} ms"
    parts = [(seconds // 86_400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s")]
    first = next(place for place, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count}{unit}" for count, unit in parts[first : first + 2] if count)


def call(args: Sequence[Any], kwargs: dict[str, Any]) -> str:
    """Return the arguments of a call as they stand in code; integers are exact."""
    return ", ".join([*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())])


def print_json(value: Any) -> None:
    """Print JSON in ASCII that every reader accepts: whatever is in it is escaped, and integers are exact."""
    click.echo(json.dumps(plain_json(value), indent=2, allow_nan=False))


def print_next_page(cursor: str) -> None:
    """Print how to go on behind a page, as a shell reads it; empty: nothing."""
    if cursor:
        click.echo(f"next page: --cursor {clean(shlex.quote(cursor))}")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table of clean texts; nothing but the header if there are no rows."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    is_terminal = sys.stdout.isatty()
    console = Console(highlight=False, width=None if is_terminal else _WIDE)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())
