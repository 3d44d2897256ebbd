"""Rules of schedules for Django projects: `crontab`, by default in TIME_ZONE, and `every`.

::

    TASK_SCHEDULE = {
        "morning": {"task": "myapp.tasks.send_welcome_email", "schedule": crontab(hour=9, minute=0), "args": [1]},
    }

A settings module may import this.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings

from streamtasks.schedules.rules import crontab as engine_crontab
from streamtasks.schedules.rules import every

__all__ = ["crontab", "every"]


class crontab(engine_crontab):  # noqa: N801  # written like a function
    """At times of the day, on days, in TIME_ZONE or ``tz``; see `streamtasks.schedules.crontab`."""

    __slots__ = ()

    def _default_zone(self) -> str:
        zone: Any = settings.TIME_ZONE
        return str(zone or "UTC")
