"""``manage.py streamtasks``: all commands of ``streamtasks`` for this project."""

from __future__ import annotations

from typing import TYPE_CHECKING, override

from ..passing_command import PassingCommand

if TYPE_CHECKING:
    import click

__all__ = ["Command"]


class Command(PassingCommand):
    """Run ``streamtasks`` with its commands and options; ``--help`` shows them."""

    help = "Look at this project's tasks, queues and workers, and steer them."

    @override
    def command(self) -> click.Command:
        """See `PassingCommand.command`."""
        from streamtasks_workers.cli.main import streamtasks_command

        return streamtasks_command
