"""``manage.py streamtasks_schedules``: the command ``streamtasks schedules`` for this project."""

from __future__ import annotations

from typing import TYPE_CHECKING, override

from ..passing import PassingCommand

if TYPE_CHECKING:
    import click

__all__ = ["Command"]


class Command(PassingCommand):
    """Takes the words and options of ``streamtasks schedules``; ``--help`` shows them."""

    help = "Look at this project's schedules and change them."

    @override
    def command(self) -> click.Command:
        """See `PassingCommand.command`."""
        from streamtasks_workers.cli.schedules import schedules_command

        return schedules_command
