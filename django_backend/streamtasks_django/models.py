"""The concrete model of results, under its documented name; it is in the app ``streamtasks_django.database``.

Django imports this module with the app ``streamtasks_django``. It defines no model itself, so that a project whose
results stay on a server has no table and no migration.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from .database.models import TaskResult

__all__ = ["TaskResult"]


def __getattr__(name: str) -> Any:
    if name != "TaskResult":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if not apps.is_installed("streamtasks_django.database"):
        raise ImproperlyConfigured(
            "TaskResult has no table: add 'streamtasks_django.database' to INSTALLED_APPS and run migrate."
        )
    return importlib.import_module("streamtasks_django.database.models").TaskResult
