"""``manage.py streamtasks_worker``: the command ``streamtasks-worker`` for this project."""

from __future__ import annotations

from typing import TYPE_CHECKING, override

from ..passing_command import PassingCommand

if TYPE_CHECKING:
    import click

__all__ = ["Command"]


class Command(PassingCommand):
    """Run ``streamtasks-worker`` with its options; ``--help`` shows them."""

    help = "Run a worker for this project's tasks."

    @override
    def command(self) -> click.Command:
        """See `PassingCommand.command`."""
        from streamtasks_workers.cli.worker import worker_command

        return worker_command
