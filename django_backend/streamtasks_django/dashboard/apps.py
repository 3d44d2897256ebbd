"""The Django app of the dashboard."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy

__all__ = ["DashboardConfig"]


class DashboardConfig(AppConfig):
    """Put ``"streamtasks_django.dashboard"`` into INSTALLED_APPS, include its urls, and run ``migrate``."""

    name = "streamtasks_django.dashboard"
    label = "streamtasks_dashboard"
    verbose_name = gettext_lazy("Task dashboard")
    default_auto_field = "django.db.models.BigAutoField"
