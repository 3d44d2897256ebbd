"""The documented names of task options, and what the engine calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ..exceptions import InvalidTask
from ..protocol.validation import check_count, check_seconds
from .options import seconds
from .run_options import check_exceptions

__all__ = ["DOCUMENTED", "engine_options"]


def _limit(name: str, value: Any) -> float | None:
    if value is None:
        return None
    value = seconds(value)
    check_seconds(name, value, InvalidTask)
    return value  # type: ignore[no-any-return]


def _delay(name: str, value: Any) -> float:
    value = seconds(value)
    check_seconds(name, value, InvalidTask, above_zero=False)
    return value  # type: ignore[no-any-return]


def _backoff(name: str, value: Any) -> float:
    return float(value) if isinstance(value, bool) else _delay(name, value)


def _retries(name: str, value: Any) -> Any:
    if value is not None:
        check_count(name, value, InvalidTask, least=0)
    return value


def _exceptions(name: str, value: Any) -> Any:
    found: Any = (value,) if isinstance(value, type) else value
    found = tuple(found) if isinstance(found, Sequence) and not isinstance(found, str) else found
    check_exceptions(name, found)
    return found


def _switch(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidTask(f"{name} is {value!r}; it must be True or False.")
    return value


DOCUMENTED: Final[dict[str, tuple[str, Callable[[str, Any], Any]]]] = {
    "max_retries": ("max_retries", _retries),
    "default_retry_delay": ("retry_delay_s", _delay),
    "autoretry_for": ("autoretry_for", _exceptions),
    "dont_autoretry_for": ("dont_autoretry_for", _exceptions),
    "retry_backoff": ("retry_backoff_s", _backoff),
    "retry_backoff_max": ("retry_backoff_max_s", _delay),
    "retry_jitter": ("retry_jitter", _switch),
    "soft_time_limit": ("soft_time_limit_s", _limit),
    "time_limit": ("time_limit_s", _limit),
    "expires": ("expires_s", _limit),
    "queue_name": ("queue", lambda _, value: value),
}
"""Documented name -> the name in `TaskOptions`, and how a value is checked and read."""


def engine_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return options under the engine's names; what is no documented name is left as it is.

    Raises:
        InvalidTask: a value is wrong (the message has the name that was given), or said twice.
    """
    found: dict[str, Any] = {}
    for name, value in given.items():
        target, read = DOCUMENTED.get(name, (name, None))
        if target in found or (target != name and target in given):
            raise InvalidTask(f"{name} and {target} are the same option; give one of them.")
        found[target] = value if read is None else read(name, value)
    return found
