"""Make the tables of all database backends of TASKS."""

from __future__ import annotations

from typing import Any

from streamtasks import ConfigurationError

from ....framework import InvalidTaskBackend, task_backends
from .steps import address_of
from .tables import create

__all__ = ["make_tables"]


def make_tables(using: str) -> list[str]:
    """Create what is missing of the tables that TASKS names in a database; return their names."""
    made: list[str] = []
    for alias in task_backends.settings:
        try:
            backend: Any = task_backends[alias]
            settings = backend.store_settings
        except (InvalidTaskBackend, ConfigurationError, AttributeError):
            continue  # a system check reports what is wrong; others have no settings
        if settings.is_sql and address_of(settings)[0] == using:
            made += create(using, address_of(settings)[1])
    return made
