"""Read the options that tie enqueueing to database transactions: ``on_commit`` of an alias."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS

from streamtasks import ConfigurationError

__all__ = ["check_database", "commit_database"]


def commit_database(options: Mapping[str, Any]) -> str | None:
    """Return the database whose transactions hold calls back; None: none does.

    Raises:
        ConfigurationError: the value is neither a bool nor an alias of DATABASES.
    """
    return _database("on_commit", options.get("on_commit", False))


def check_database(name: str, alias: Any) -> str:
    """Return the alias of a database.

    Args:
        name: of what was given, for errors.
        alias: what was given.

    Raises:
        ConfigurationError: there is no such database.
    """
    if not isinstance(alias, str) or alias not in settings.DATABASES:
        known = ", ".join(sorted(settings.DATABASES)) or "it has none"
        raise ConfigurationError(f"{name} is {alias!r}; it must be an alias of the setting DATABASES ({known}).")
    return alias


def _database(name: str, value: Any) -> str | None:
    if value is None or value is False:
        return None
    if value is True:
        value = DEFAULT_DB_ALIAS
    return check_database(name, value)
