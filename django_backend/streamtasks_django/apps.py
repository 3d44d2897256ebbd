"""The Django app: management commands and system checks."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy

from .install import log_installed

__all__ = ["StreamTasksConfig"]


class StreamTasksConfig(AppConfig):
    """Put ``"streamtasks_django"`` into INSTALLED_APPS to get ``manage.py streamtasks_worker`` and the system checks.

    The backends work without it.
    """

    name = "streamtasks_django"
    label = "streamtasks"
    verbose_name = gettext_lazy("Background tasks")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks, and log again what ``install_as_django_tasks()`` did, now that logging is set up.

        Nothing else may import ``django.tasks`` in a web process, and its import is what registers Django's check of
        TASKS, through which the checks of each backend run.
        """
        import_module("streamtasks_django.framework").register_checks()
        import_module("streamtasks_django.checks")
        log_installed()
        post_migrate.connect(_make_tables, dispatch_uid="streamtasks.tables")


def _make_tables(using: str, **_: Any) -> None:
    """Make the tables of each DatabaseBackend of a database that was migrated."""
    from .backends.database.engine.migrate import make_tables

    make_tables(using)
