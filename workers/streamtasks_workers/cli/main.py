"""The command line ``streamtasks``."""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, override

import click

__all__ = ["COMMANDS", "main", "streamtasks_command"]

COMMANDS: Final = "streamtasks.commands"
"""The entry point group of commands; each entry is a `click.Command`."""


class _InstalledCommands(click.Group):
    """A group of the commands that are installed here, each imported when it is named.

    Their modules import the engine and frameworks inside their functions only, so that ``--help`` is quick.
    """

    @cached_property
    def _entries(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group=COMMANDS)}

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(self._entries)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None: there is none of that name."""
        entry = self._entries.get(cmd_name)
        command: Any = None if entry is None else entry.load()
        return command  # type: ignore[no-any-return]


@click.group(cls=_InstalledCommands, context_settings={"show_default": True})
@click.version_option(package_name="streamtasks", prog_name="streamtasks")
def streamtasks_command() -> None:
    """streamtasks: background tasks on Redis Streams."""


def main() -> None:
    """Run ``streamtasks``."""
    streamtasks_command(prog_name="streamtasks")
