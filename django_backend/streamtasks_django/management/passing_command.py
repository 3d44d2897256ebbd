"""Commands of manage.py that run a command of ``streamtasks`` with the same options."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, override

import click
from django.core.management.base import BaseCommand, CommandError, CommandParser

__all__ = ["PassingCommand"]


class _Parser(CommandParser):
    """Parse Django's own options and pass all others on."""

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        options, rest = self.parse_known_args(args, namespace)
        options.args = rest
        return options


class PassingCommand(BaseCommand):
    """Pass all options that Django does not know to a click command; ``--help`` shows the options of that."""

    def command(self) -> click.Command:
        """Return the command."""
        raise NotImplementedError

    @override
    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Return a parser that leaves unknown options to the command."""
        parser = super().create_parser(prog_name, subcommand, add_help=False, allow_abbrev=False, **kwargs)
        parser.__class__ = _Parser
        return parser

    @override
    def handle(self, *args: str, **options: Any) -> None:
        """Run the command."""
        name = type(self).__module__.rpartition(".")[2]
        try:
            code = self.command().main(args=list(args), prog_name=name, standalone_mode=False)
        except click.ClickException as error:
            raise CommandError(error.format_message(), returncode=error.exit_code) from error
        if code:
            sys.exit(code)
