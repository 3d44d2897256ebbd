"""The options of ``@task``, derived from the engine's table of options, and their checks.

An option of a definition is a field of `streamtasks.TaskOptions`, which checks it, and of `StreamTask`, under its
documented name; everything in this module follows from the former.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any, Final

from streamtasks.tasks.run_options import RunOptions
from streamtasks.tasks.task_options import DEFINITION_ONLY, USER_NAMES, TaskOptions, engine_options
from streamtasks.tasks.task_options import PER_CALL as PER_CALL_FIELDS
from streamtasks.tasks.unset import UNSET

__all__ = ["CHECKED", "PER_CALL", "RUN", "USING", "check_definition", "engine_run_options", "unknown_option"]

_NAMES: Final = {target: name for name, (target, _) in USER_NAMES.items()}
_DJANGO: Final = frozenset({"backend", "metadata", "priority", "queue_name", "run_after"})
"""Options that Django's own task has, or will have, and checks."""


def _names(cls: Any) -> tuple[str, ...]:
    names = (_NAMES.get(one.name, one.name) for one in fields(cls) if one.name not in ("has_hooks", "delay_of"))
    return tuple(name for name in names if name not in _DJANGO)


RUN: Final = _names(RunOptions)
"""Documented names of the options that determine how a task is run."""

CHECKED: Final = _names(TaskOptions)
"""Documented names of all options that the engine checks."""

PER_CALL: Final = tuple(PER_CALL_FIELDS)
"""Documented names of the run options that a message carries."""

USING: Final = _DJANGO | {name for name in CHECKED if USER_NAMES.get(name, (name,))[0] not in DEFINITION_ONLY}
"""Documented names of the options that ``using()`` changes."""

_CELERY: Final = {
    "acks_late": "A task is acknowledged after it has run, always; leave it out.",
    "base": "Subclass streamtasks_django.Task instead.",
    "compression": "It is set for a backend, in OPTIONS.",
    "reject_on_worker_lost": "A task whose worker is lost runs again, always; leave it out.",
    "routing_key": "Use queue_name.",
    "serializer": "It is set for a backend, in OPTIONS.",
    "store_errors_even_if_ignored": "Errors are stored, always; leave it out.",
    "throws": "Raise streamtasks_django.exceptions.Ignore for an expected end.",
    "track_started": "It is the setting TASK_TRACK_STARTED.",
}
"""Options of Celery's decorator, and what to do about them."""


def unknown_option(name: str, known: Iterable[str]) -> str:
    """Return the text of an error about an unknown option: a similar name, or what to do instead."""
    if name in _CELERY:
        return f"unexpected keyword argument {name!r}. {_CELERY[name]}"
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    return f"unexpected keyword argument {name!r}.{meant} Known: {', '.join(known)}."


def check_definition(values: Iterable[Any]) -> None:
    """Check the options of a task, in the order of `CHECKED`; only once for all copies that ``using()`` makes.

    Raises:
        streamtasks.exceptions.InvalidTask: a value is wrong.
    """
    values = tuple(values)
    try:
        _check(*values)
    except TypeError:  # a value is not hashable, so it is wrong: let its check name it
        _check.__wrapped__(*values)


@lru_cache(maxsize=4096, typed=True)
def _check(*values: Any) -> None:
    given = {name: value for name, value in zip(CHECKED, values, strict=True) if value is not UNSET}
    TaskOptions(**engine_options(given))


def engine_run_options(values: Mapping[str, Any], *, has_hooks: bool) -> RunOptions:
    """Return run options, given by their documented names, as the engine has them."""
    return RunOptions(**engine_options(values), has_hooks=has_hooks)
