"""The Django app of the template tag."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy

__all__ = ["ProgressConfig"]


class ProgressConfig(AppConfig):
    """Put ``"streamtasks_django.progress"`` into INSTALLED_APPS, and include its urls."""

    name = "streamtasks_django.progress"
    label = "streamtasks_progress"
    verbose_name = gettext_lazy("Progress of tasks")
