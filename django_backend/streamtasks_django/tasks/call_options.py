"""Parse the options of ``apply_async()``, with Django's own names and time zones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.utils import timezone

from streamtasks.exceptions import InvalidTask
from streamtasks.tasks.options import seconds
from streamtasks.tasks.signature import OPTION_NAMES, CallOptions

from ..framework import task_backends

__all__ = ["COLUMNS", "call_options", "django_fields", "extra_names", "with_columns"]

COLUMNS: Final = "django.extra"
"""The header with the arguments of ``apply_async()`` that are not options: columns of the project's own table."""

_DJANGO_NAMES: Final = frozenset({"queue_name", "run_after"})


def call_options(given: Mapping[str, Any], base: CallOptions) -> CallOptions:
    """Parse what ``apply_async()`` was given.

    ``queue_name`` and ``run_after`` are Django's names for ``queue`` and for ``eta`` or ``countdown``.
    A naive time is in the current time zone.

    Raises:
        InvalidTask: an option has an unknown name or a wrong value.
    """
    options = dict(given)
    _alias(options, "queue_name", "queue")
    if isinstance(options.get("run_after"), timedelta):
        _alias(options, "run_after", "countdown")
    else:
        _alias(options, "run_after", "eta")
    for name in ("eta", "expires"):
        value = options.get(name)
        if isinstance(value, datetime) and timezone.is_naive(value):
            options[name] = timezone.make_aware(value)
    backend = options.get("backend")
    if backend is not None and backend not in task_backends.settings:
        known = ", ".join(sorted(task_backends.settings))
        raise InvalidTask(f"backend is {backend!r}; it must be an alias of the setting TASKS ({known}).")
    return CallOptions.of(options, base)


def extra_names(given: Mapping[str, Any]) -> list[str]:
    """Return the given names that are not options."""
    return [name for name in given if name not in OPTION_NAMES and name not in _DJANGO_NAMES]


def with_columns(
    given: Mapping[str, Any], extra: list[str], alias: str, headers: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return the options with those extra values in a header that the backend takes.

    Args:
        given: what ``apply_async()`` was given.
        extra: the names in it that are not options.
        alias: of the backend that gets the call.
        headers: of the task, if none are given.
    """
    takes_extra = getattr(task_backends[alias], "takes_extra", None) if alias in task_backends.settings else None
    columns = {name: given[name] for name in extra if takes_extra is not None and takes_extra(name)}
    if not columns:
        return given  # to be refused, as all others are
    options = {name: value for name, value in given.items() if name not in columns}
    return {**options, "headers": {**(options.get("headers") or headers), COLUMNS: columns}}


def _alias(options: dict[str, Any], alias: str, name: str) -> None:
    if alias in options:
        value = options.pop(alias)
        if value is not None and options.get(name) is not None:
            raise InvalidTask(f"{alias} is {value!r} and {name} is {options[name]!r}; give one of them.")
        options.setdefault(name, value)


def django_fields(call: CallOptions, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of Django's own task that these options set."""
    changes: dict[str, Any] = {}
    if call.queue is not None:
        changes["queue_name"] = call.queue
    for name in ("priority", "backend"):
        value = getattr(call, name)
        if value is not None:
            changes[name] = value
    if not {"countdown", "eta", "run_after"}.isdisjoint(given):
        when = call.eta
        if call.countdown is not None:
            when = datetime.now(timezone.get_current_timezone()) + timedelta(seconds=seconds(call.countdown))
        if when is not None and not settings.USE_TZ:
            when = timezone.make_naive(when)
        changes["run_after"] = when
    return changes
