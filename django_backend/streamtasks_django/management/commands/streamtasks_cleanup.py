"""``manage.py streamtasks_cleanup``: delete old results."""

from __future__ import annotations

import sys
from typing import Any, override

from django.core.management.base import BaseCommand, CommandParser

from ...manager import TaskResultManager

__all__ = ["Command"]


class Command(BaseCommand):
    """Delete results before they expire (``result_expires``, ``failure_expires``)."""

    help = "Clean up old task results."
    _failed = False

    @override
    def add_arguments(self, parser: CommandParser) -> None:
        """Add ``--days`` and ``--backend``."""
        parser.add_argument("--days", type=int, default=7, help="Number of days to keep results (default: 7)")
        parser.add_argument("--backend", default="default", help="Task backend to clean up (default: default)")

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        """Delete old results, and print their number or the error."""
        try:
            count = TaskResultManager(options["backend"]).cleanup_old_results(options["days"])
        except Exception as error:  # noqa: BLE001 - as documented, any error is printed
            self._failed = True
            self.stdout.write(self.style.ERROR(f"Failed to clean up task results: {error}"))
        else:
            self.stdout.write(self.style.SUCCESS(f"Successfully cleaned up {count} old task results"))

    @override
    def run_from_argv(self, argv: list[str]) -> None:
        """Run the command; exit with 1 after an error, so that a scheduler notices."""
        super().run_from_argv(argv)
        if self._failed:
            sys.exit(1)
