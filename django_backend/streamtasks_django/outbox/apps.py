"""The Django app with the outbox's table."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy

__all__ = ["OutboxConfig"]


class OutboxConfig(AppConfig):
    """The table of the outbox."""

    name = "streamtasks_django.outbox"
    label = "streamtasks_outbox"
    verbose_name = gettext_lazy("Outbox of background tasks")
    default_auto_field = "django.db.models.BigAutoField"
