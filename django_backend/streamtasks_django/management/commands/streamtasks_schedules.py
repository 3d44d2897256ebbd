"""``manage.py streamtasks_schedules``: the command ``streamtasks schedules`` for this project."""

from __future__ import annotations

from typing import TYPE_CHECKING, override

from ..passing_command import PassingCommand

if TYPE_CHECKING:
    import click

__all__ = ["Command"]


class Command(PassingCommand):
    """Run ``streamtasks schedules`` with its commands and options; ``--help`` shows them."""

    help = "List and change this project's schedules."

    @override
    def command(self) -> click.Command:
        """See `PassingCommand.command`."""
        from streamtasks_workers.cli.schedules import schedules_command

        return schedules_command
