"""``manage.py streamtasks_doctor``: the command ``streamtasks doctor`` for this project."""

from __future__ import annotations

from typing import TYPE_CHECKING, override

from ..passing_command import PassingCommand

if TYPE_CHECKING:
    import click

__all__ = ["Command"]


class Command(PassingCommand):
    """Run ``streamtasks doctor`` with its options; ``--help`` shows them."""

    help = "Report what is wrong with the servers, the settings and the work of this project."

    @override
    def command(self) -> click.Command:
        """See `PassingCommand.command`."""
        from streamtasks_workers.cli.doctor import doctor_command

        return doctor_command
