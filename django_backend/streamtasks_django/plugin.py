"""Load Django projects for the worker's command line, which finds this module by an entry point."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import django
from django.apps import apps
from django.conf import ENVIRONMENT_VARIABLE
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured

from streamtasks import ConfigurationError
from streamtasks.protocol.absent_module import is_absent

if TYPE_CHECKING:
    from .worker.application import DjangoApplication

__all__ = ["load", "move"]


def load(settings: str | None, backends: Sequence[str]) -> list[DjangoApplication]:
    """Set up a Django project, import its tasks and return its backends.

    Args:
        settings: its settings module; None: ``DJANGO_SETTINGS_MODULE``.
        backends: aliases of ``settings.TASKS``; empty: all with a backend of this package.

    Raises:
        ConfigurationError: there are no settings, an alias is unknown or has another backend, or an option is wrong.
        Exception: a module of the project raises it; its traceback shows where.
    """
    if settings is not None:
        os.environ[ENVIRONMENT_VARIABLE] = settings
    if not django_settings.configured and not os.environ.get(ENVIRONMENT_VARIABLE):
        raise ConfigurationError(
            f"No Django settings: name the module with --settings or in the variable {ENVIRONMENT_VARIABLE}."
        )
    try:
        if not apps.ready:  # a second call would configure logging again
            django.setup()
    except ImproperlyConfigured as error:
        raise ConfigurationError(f"The Django project cannot be set up: {error}") from error
    except ModuleNotFoundError as error:
        module = os.environ.get(ENVIRONMENT_VARIABLE, "")
        if not is_absent(module, error):
            raise
        raise ConfigurationError(f"The settings module {module!r} cannot be imported: {error}") from error

    from .tasks.registry import discover
    from .worker.databases import close_all

    discover()
    found = _applications(backends)
    close_all()  # the modules may have opened connections, and children are forked from this process
    return found


def move(handed_over: Mapping[str, Any]) -> None:
    """Make a test's worker use the server and the databases of that test; see `testing.served_tasks`."""
    from .testing import on_server

    django_settings.TASKS = on_server(django_settings.TASKS, handed_over["url"])
    for alias, name in handed_over["databases"].items():
        django_settings.DATABASES[alias]["NAME"] = name


def _is_wrong_path(alias: str, error: ImportError) -> bool:
    """Return whether the BACKEND of an alias names nothing; else its module fails."""
    return error.name is None or is_absent(str(django_settings.TASKS[alias].get("BACKEND")), error)


def _applications(backends: Sequence[str]) -> list[DjangoApplication]:
    from .backends.base import StoreBackend
    from .framework import InvalidTaskBackend, task_backends

    found, classes = [], {}
    for alias in task_backends.settings:
        try:
            backend = task_backends[alias]
        except InvalidTaskBackend as error:
            if isinstance(cause := error.__cause__, ImportError) and not _is_wrong_path(alias, cause):
                raise cause from None
            if alias in backends:
                raise ConfigurationError(f"TASKS[{alias!r}]: {error}") from error
            continue
        classes[alias] = type(backend).__name__
        if isinstance(backend, StoreBackend) and backend.needs_worker and (not backends or alias in backends):
            application = backend.application()
            _ = application.settings  # raises for a wrong option now, with its alias
            found.append(application)
    configured = ", ".join(f"{alias} ({name})" for alias, name in sorted(classes.items())) or "none"
    for alias in backends:
        if alias not in classes:
            raise ConfigurationError(f"TASKS has no alias {alias!r}; configured: {configured}.")
        if not any(application.label == alias for application in found):
            raise ConfigurationError(
                f"TASKS[{alias!r}] is a {classes[alias]}, whose tasks do not need a worker; configured: {configured}."
            )
    if not found:
        raise ConfigurationError(f"No alias of TASKS has a backend that needs a worker; configured: {configured}.")
    return found
