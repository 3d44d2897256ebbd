"""Options of one call as Django projects give them: Django's own words and time zones are understood."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.tasks import task_backends
from django.utils import timezone

from streamtasks.exceptions import InvalidTask
from streamtasks.tasks.call_options import OPTION_NAMES, CallOptions, seconds

if TYPE_CHECKING:
    from ..tasks.stream_task import StreamTask

__all__ = ["COLUMNS", "call_options", "visible", "with_columns"]

COLUMNS: Final = "django.extra"
"""The header with what was given to ``apply_async()`` and is no option: columns of the project's own."""

_DJANGOS: Final = frozenset({"queue_name", "run_after"})


def call_options(given: Mapping[str, Any], base: CallOptions) -> CallOptions:
    """Return the options that ``apply_async()`` was given.

    ``queue_name`` and ``run_after`` are Django's words for ``queue`` and for ``eta`` or ``countdown``.
    A naive time is in the current time zone.

    Raises:
        InvalidTask: an option has an unknown name or a wrong value.
    """
    options = dict(given)
    _another_word(options, "queue_name", "queue")
    if isinstance(options.get("run_after"), timedelta):
        _another_word(options, "run_after", "countdown")
    else:
        _another_word(options, "run_after", "eta")
    for name in ("eta", "expires"):
        value = options.get(name)
        if isinstance(value, datetime) and timezone.is_naive(value):
            options[name] = timezone.make_aware(value)
    backend = options.get("backend")
    if backend is not None and backend not in task_backends.settings:
        known = ", ".join(sorted(task_backends.settings))
        raise InvalidTask(f"backend is {backend!r}; it must be an alias of the setting TASKS ({known}).")
    return CallOptions.of(options, base)


def with_columns(task: StreamTask, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the options of a call; what else was given travels in a header for a ``store_result()`` of the backend's.

    Without such a method, names that are no options stay as they are, to be refused.
    """
    more = {name: value for name, value in given.items() if name not in OPTION_NAMES and name not in _DJANGOS}
    if not more:
        return given
    alias = given.get("backend") or task.routed().backend
    if alias not in task_backends.settings or not getattr(task_backends[alias], "wants_outcomes", False):
        return given
    options = {name: value for name, value in given.items() if name not in more}
    headers = options.get("headers") or task.options.headers
    return {**options, "headers": {**headers, COLUMNS: more}}


def _another_word(options: dict[str, Any], word: str, name: str) -> None:
    if word in options:
        value = options.pop(word)
        if value is not None and options.get(name) is not None:
            raise InvalidTask(f"{word} is {value!r} and {name} is {options[name]!r}; give one of them.")
        options.setdefault(name, value)


def visible(call: CallOptions, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Django's own task shows of these options, by the names of its fields."""
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
