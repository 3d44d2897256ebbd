"""Read the options that tie enqueueing to database transactions: ``on_commit`` and ``outbox`` of an alias."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS

from streamtasks import ConfigurationError

__all__ = ["OUTBOX_APP", "check_database", "commit_database", "outbox_database"]


OUTBOX_APP: Final = "streamtasks_django.outbox"
"""The app with the table of the outbox."""


def commit_database(options: Mapping[str, Any]) -> str | None:
    """Return the database whose transactions hold calls back; None: none does.

    Raises:
        ConfigurationError: the value is neither a bool nor an alias of DATABASES.
    """
    return _database("on_commit", options)


def outbox_database(options: Mapping[str, Any]) -> str | None:
    """Return the database with the outbox that calls go through; None: they go to the store.

    Raises:
        ConfigurationError: the value is neither a bool nor an alias of DATABASES, ``on_commit`` is given as well, or
            the app of the outbox is not installed.
    """
    database = _database("outbox", options)
    if database is not None:
        if commit_database(options) is not None:
            raise ConfigurationError(
                f"on_commit is {options['on_commit']!r} and outbox is {options['outbox']!r}; what is in the "
                "outbox waits for the commit anyway, so leave on_commit out."
            )
        if apps.apps_ready and not apps.is_installed(OUTBOX_APP):
            raise ConfigurationError(
                f"outbox is {options['outbox']!r}, but its table is missing: add {OUTBOX_APP!r} to INSTALLED_APPS "
                "and run manage.py migrate."
            )
    return database


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


def _database(name: str, options: Mapping[str, Any]) -> str | None:
    value = options.get(name) if isinstance(options, Mapping) else None  # a system check reports other OPTIONS
    if value is None or value is False:
        return None
    if value is True:
        value = DEFAULT_DB_ALIAS
    return check_database(name, value)
