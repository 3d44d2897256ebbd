"""``manage.py streamtasks_worker``: the command ``streamtasks-worker`` for this project."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, override

import click
from django.core.management.base import BaseCommand, CommandError, CommandParser

__all__ = ["Command"]


class _Parser(CommandParser):
    """Keeps Django's own options and passes all others on."""

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        options, rest = self.parse_known_args(args, namespace)
        options.args = rest
        return options


class Command(BaseCommand):
    """Takes the options of ``streamtasks-worker``; ``--help`` shows them."""

    help = "Run a worker for this project's tasks."

    @override
    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Return a parser that leaves unknown options to the worker."""
        parser = super().create_parser(prog_name, subcommand, add_help=False, allow_abbrev=False, **kwargs)
        parser.__class__ = _Parser
        return parser

    @override
    def handle(self, *args: str, **options: Any) -> None:
        """Run the worker until it is told to stop."""
        from streamtasks_workers.cli import worker_command

        try:
            code = worker_command.main(args=list(args), prog_name="streamtasks_worker", standalone_mode=False)
        except click.ClickException as error:
            raise CommandError(error.format_message(), returncode=error.exit_code) from error
        if code:
            sys.exit(code)
