"""Check ``STREAMTASKS`` and ``TASK_IMPORTS``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings as django_settings
from django.core import checks
from django.core.checks import CheckMessage, Error

from streamtasks import ConfigurationError

from ..conf import project
from .suggestions import suggestion

__all__ = ["check_project"]


def check_project() -> Iterator[CheckMessage]:
    """Check the settings for the whole process."""
    given: Any = getattr(django_settings, "STREAMTASKS", None) or {}
    if isinstance(given, Mapping):
        yield from _streamtasks(given)
    else:
        yield Error(f"The setting STREAMTASKS is {given!r}; it must be a dict.", id="streamtasks.E006")
    try:
        project.task_imports()
    except (ConfigurationError, TypeError) as error:
        yield Error(str(error), id="streamtasks.E006")


def _streamtasks(given: Mapping[str, Any]) -> Iterator[CheckMessage]:
    for name in sorted(set(given) - project.STREAMTASKS, key=str):
        yield checks.Warning(
            f"STREAMTASKS has the unknown key {name!r}.{suggestion(str(name), project.STREAMTASKS)}",
            hint=f"Known keys: {', '.join(sorted(project.STREAMTASKS))}.",
            id="streamtasks.W002",
        )
    try:
        project.middleware()
    except ConfigurationError as error:
        yield Error(str(error), id="streamtasks.E005")
    try:
        project.may_view_task()
    except ConfigurationError as error:
        yield Error(str(error), id="streamtasks.E008")
