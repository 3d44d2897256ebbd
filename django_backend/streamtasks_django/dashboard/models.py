"""The permissions of the dashboard; there is no table."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

__all__ = ["Dashboard"]


class Dashboard(models.Model):
    """What the permissions of the dashboard belong to."""

    class Meta:
        managed = False
        verbose_name = verbose_name_plural = _("overview")
        default_permissions = ()
        permissions: ClassVar[Any] = [
            ("view", "Can see the task dashboard"),
            ("see_arguments", "Can see arguments, results and error messages of tasks"),
            ("operate", "Can retry, revoke and replay tasks, one or many, and run schedules"),
            ("administer", "Can pause queues, tasks and schedules, purge queues, and drain and stop workers"),
        ]

    def __str__(self) -> str:
        return "dashboard"
