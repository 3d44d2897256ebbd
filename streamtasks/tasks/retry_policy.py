"""How long enqueueing is repeated while the store cannot be reached: the option ``retry_policy``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..exceptions import InvalidTask
from ..protocol.validation import check_count, is_number

__all__ = ["check_retry_policy", "retry_time_s"]

_DEFAULTS: Final[dict[str, float]] = {
    "max_retries": 3,
    "interval_start": 0.0,
    "interval_step": 0.2,
    "interval_max": 0.2,
}


def check_retry_policy(name: str, policy: Any) -> None:
    """Check a retry policy.

    Raises:
        InvalidTask: a key is unknown, or a value is wrong.
    """
    if not isinstance(policy, Mapping):
        raise InvalidTask(f"{name} is {policy!r}; it must be a dict.")
    for key, value in policy.items():
        if key not in _DEFAULTS:
            raise InvalidTask(f"{name} has the unknown key {key!r}. Known: {', '.join(_DEFAULTS)}.")
        if key == "max_retries":
            if value is not None:
                check_count(f"{name}['max_retries']", value, InvalidTask, least=0, most=10_000)
        elif not is_number(value) or value < 0:
            raise InvalidTask(f"{name}[{key!r}] is {value!r}; it must be a number of seconds from 0.")


def retry_time_s(policy: Mapping[str, Any]) -> float | None:
    """Return how long a policy repeats a call, seconds; None: as long as the settings say."""
    policy = {**_DEFAULTS, **policy}
    most = policy["max_retries"]
    if most is None:
        return None
    start, step, longest = policy["interval_start"], policy["interval_step"], policy["interval_max"]
    return float(sum(min(start + step * turn, longest) for turn in range(int(most))))
