"""``max_attempts`` and ``backoff`` of tasks, as they are proposed for Django.

The names and the rules are those of https://github.com/django/new-features/issues/142: any exception is retried, up
to ``max_attempts`` attempts in all, after the delay that ``backoff(exception, task_result)`` returns; None ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.utils.module_loading import import_string

from streamtasks import ConfigurationError
from streamtasks.exceptions import InvalidTask
from streamtasks.protocol.validation import check_count
from streamtasks.tasks.unset import UNSET

__all__ = ["BACKOFF", "MAX_ATTEMPTS", "Backoff", "check_policy", "policy_of", "settings_of"]

MAX_ATTEMPTS: Final = "MAX_ATTEMPTS"
BACKOFF: Final = "BACKOFF"
"""Keys of an alias of TASKS, beside OPTIONS."""

type Backoff = Callable[[BaseException, Any], Any]


def check_policy(max_attempts: Any, backoff: Any, max_retries: Any) -> None:
    """Check the options of a definition.

    Raises:
        InvalidTask: one is wrong.
    """
    if max_attempts is not None:
        check_count("max_attempts", max_attempts, InvalidTask, least=1)
        if max_retries is not UNSET:
            raise InvalidTask(
                f"max_attempts is {max_attempts!r} and max_retries is {max_retries!r}; give one of them: the first "
                "attempt is no retry."
            )
    if backoff is not None and not callable(backoff):
        raise InvalidTask(f"backoff is {backoff!r}; it must be a function of (exception, task_result).")


def settings_of(params: Mapping[str, Any]) -> tuple[int | None, Backoff | None]:
    """Return ``MAX_ATTEMPTS`` and ``BACKOFF`` of an alias; None: not given. ``BACKOFF`` may be an import path.

    Raises:
        ConfigurationError: a value is wrong.
    """
    most, backoff = params.get(MAX_ATTEMPTS), params.get(BACKOFF)
    if most is not None:
        check_count(MAX_ATTEMPTS, most, ConfigurationError, least=1)
    if isinstance(backoff, str):
        try:
            backoff = import_string(backoff)
        except ImportError as error:
            raise ConfigurationError(f"{BACKOFF} is {backoff!r}, which cannot be imported: {error}") from error
    if backoff is not None and not callable(backoff):
        raise ConfigurationError(
            f"{BACKOFF} is {backoff!r}; it must be a function of (exception, task_result), or its import path."
        )
    return most, backoff


def policy_of(task: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the run options that follow from ``max_attempts`` and ``backoff`` of a task or of its alias.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    most, backoff = settings_of(params)
    if task.max_attempts is not None:
        most = task.max_attempts
    if most is None and backoff is None and task.backoff is None:
        return {}
    values: dict[str, Any] = {"autoretry_for": task.autoretry_for or (Exception,)}
    if most is not None and task.max_retries is UNSET:
        values["max_retries"] = most - 1
    return values
