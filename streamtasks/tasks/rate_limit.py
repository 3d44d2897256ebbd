"""Rate limits as users write them, read into what the store counts by (`Limit`)."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from ..exceptions import InvalidTask
from ..protocol.validation import check_count, is_number
from ..stores.types import Limit

__all__ = ["MOST_BURST", "check_rate_limit", "interval_us", "key_of", "limit_name", "limit_of"]

MOST_BURST: Final = 10_000

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(?:/([smhd]))?", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9_.:\-]{1,128}")
_LONGEST_US: Final = 10 * 366 * 86_400_000_000
"""Ten years: no burst may take longer to come back. The store counts microseconds in 53 bits."""


def interval_us(rate: Any) -> int:
    """Return the time between two starts, microseconds; 0: unlimited.

    A rate is a number of starts per second, or a text such as ``"10/m"`` with one of the units s, m, h and d.
    None and 0 say that there is no limit. An interval that is no whole number of microseconds is rounded up, so that
    there are never more starts than asked for.

    Raises:
        InvalidTask: it is none of these.
    """
    if rate is None:
        return 0
    per_second = _per_second(rate)
    if per_second is None:
        raise InvalidTask(
            f"rate_limit is {rate!r}; it must be a number of starts per second or a text such as "
            "'5/s', '10/m', '100/h' or '7/d' (None or 0: no limit)."
        )
    if per_second == 0:
        return 0
    interval = math.ceil(1_000_000 / per_second)
    if per_second > 1_000_000 or interval > _LONGEST_US:
        raise InvalidTask(f"rate_limit is {rate!r}; it must lie between 1 start in 10 years and 1,000,000 a second.")
    return interval


def _per_second(rate: Any) -> Fraction | None:
    if is_number(rate):
        return Fraction(str(rate)) if rate >= 0 else None
    found = _RATE.fullmatch(rate.strip()) if isinstance(rate, str) else None
    return Fraction(found[1]) / _UNITS[found[2] or "s"] if found else None


def check_rate_limit(rate: Any, burst: Any = 1, key: Any = None) -> None:
    """Check the options of a task: ``rate_limit``, ``rate_limit_burst``, ``rate_limit_key``.

    Raises:
        InvalidTask: one is wrong; the message names it and its value.
    """
    interval = interval_us(rate)
    check_count("rate_limit_burst", burst, InvalidTask, least=1, most=MOST_BURST)
    if interval * burst > _LONGEST_US:
        raise InvalidTask(
            f"rate_limit_burst is {burst!r}; at a rate_limit of {rate!r} that is more than 10 years' worth."
        )
    if not interval and (burst != 1 or key is not None):
        name, value = ("rate_limit_burst", burst) if burst != 1 else ("rate_limit_key", key)
        raise InvalidTask(f"{name} is {value!r}, but there is no rate_limit; give one, or leave this out.")
    if key is not None and not isinstance(key, str) and not callable(key):
        raise InvalidTask(
            f"rate_limit_key is {key!r}; it must be a text, or a function of the call's arguments that returns one."
        )


def key_of(
    key: str | Callable[..., Any] | None, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
) -> str:
    """Return the key that one call counts against, ``""`` for none: the text itself, or what the function returns.

    Raises:
        InvalidTask: the function does not take these arguments, or returned neither a text, a whole number nor None.
    """
    if key is None or isinstance(key, str):
        return key or ""
    try:
        found = key(*args, **(kwargs or {}))
    except (TypeError, LookupError, AttributeError, ValueError) as error:
        raise InvalidTask(f"rate_limit_key: {key!r} fails for the arguments of this call: {error!r}") from error
    if found is None:
        return ""
    if isinstance(found, bool) or not isinstance(found, (str, int)):
        raise InvalidTask(f"rate_limit_key: {key!r} returned {found!r}; it must return a text or a whole number.")
    return str(found)


def limit_name(name: str, key: str = "") -> str:
    """Return the name under which starts are counted: at most 128 letters, digits and ``_ . : -``.

    Whatever holds other characters or is too long ends in a hash of the whole instead, so that two never meet.
    """
    whole = f"{name}:{key}" if key else name
    if _NAME.fullmatch(whole):
        return whole
    readable = re.sub(r"[^A-Za-z0-9_.:\-]+", "-", name)[:90]
    return f"{readable}:{hashlib.sha256(whole.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def limit_of(
    name: str,
    rate: Any,
    burst: int = 1,
    key: str | Callable[..., Any] | None = None,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Limit | None:
    """Return the limit that a call of the task ``name`` counts against; None: it is not limited.

    The options must have passed `check_rate_limit`. ``args`` and ``kwargs`` are the call's; a ``key`` that is a
    function gets them.

    Raises:
        InvalidTask: the rate or the key is wrong.
    """
    interval = interval_us(rate)
    return Limit(limit_name(name, key_of(key, args, kwargs)), interval, burst) if interval else None
