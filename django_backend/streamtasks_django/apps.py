"""The app; only needed for the management command."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy

__all__ = ["StreamTasksConfig"]


class StreamTasksConfig(AppConfig):
    """Put ``"streamtasks_django"`` into INSTALLED_APPS to get ``manage.py streamtasks_worker``.

    The backends work without it.
    """

    name = "streamtasks_django"
    label = "streamtasks"
    verbose_name = gettext_lazy("Background tasks")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Say once more, now that logs are set up, what ``install_as_django_tasks()`` has done."""
        from .install import say

        say()
