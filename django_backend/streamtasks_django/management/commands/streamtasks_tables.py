"""``manage.py streamtasks_tables``: make the tables of each DatabaseBackend, as ``migrate`` does at its end."""

from __future__ import annotations

from typing import Any, override

from django.core.management.base import BaseCommand, CommandParser
from django.db import DEFAULT_DB_ALIAS

__all__ = ["Command"]


class Command(BaseCommand):
    """Make missing tables; those that exist stay as they are."""

    help = "Makes the tables of each DatabaseBackend in TASKS. `migrate` does so as well."

    @override
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="the database (default)")

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        from streamtasks_django.backends.database.engine.migrate import make_tables

        made = make_tables(options["database"])
        self.stdout.write(f"Made {', '.join(made)}." if made else "There is nothing to make.")
