"""The Django app with the tables of results."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy

__all__ = ["ResultTablesConfig"]


class ResultTablesConfig(AppConfig):
    """Put ``"streamtasks_django.database"`` into INSTALLED_APPS and run ``migrate`` to keep results in the database."""

    name = "streamtasks_django.database"
    label = "streamtasks_database"
    verbose_name = gettext_lazy("Task results")
    default_auto_field = "django.db.models.BigAutoField"
