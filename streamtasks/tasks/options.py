"""Options as fields of dataclasses that carry their own check, and the checks.

A field made by `option` is the whole definition of an option: its default, its check, and the name under which users
know it if that differs from the field's. `TaskOptions` and `CallOptions` consist of such fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final, NamedTuple

from ..exceptions import InvalidTask
from ..protocol.durability import check_durability
from ..protocol.keys import check_id, check_queue
from ..protocol.validation import check_count, check_seconds

__all__ = [
    "WITHOUT_END",
    "Option",
    "check_limit_order",
    "check_options",
    "first_ms",
    "option",
    "options_of",
    "seconds",
    "split_parent_id",
]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)

WITHOUT_END: Final = -1
"""The value of ``max_retries`` in a call for retries without end; None there means that the task decides."""


class Option(NamedTuple):
    """The definition of one option.

    Attributes:
        default: its default; if that is None, None is not checked.
        check: is called with the name and a value; raises `InvalidTask`.
        name: the name under which users give it, if that is not the field's.
        convert: turns a value that users give into the field's, a timedelta into seconds for example.
    """

    default: Any
    check: Callable[[str, Any], None]
    name: str = ""
    convert: Callable[[str, Any], Any] | None = None


def option(
    default: Any,
    check: Callable[[str, Any], None],
    *,
    name: str = "",
    convert: Callable[[str, Any], Any] | None = None,
) -> Any:
    """Return a dataclass field that is an option; see `Option`."""
    return dataclasses.field(default=default, metadata={"option": Option(default, check, name, convert)})


@cache
def options_of(cls: Any) -> dict[str, Option]:
    """Return the options of a dataclass by the names of their fields."""
    return {one.name: one.metadata["option"] for one in dataclasses.fields(cls) if "option" in one.metadata}


def check_options(values: Any) -> None:
    """Check every option of a dataclass instance.

    Raises:
        InvalidTask: a value is wrong; the message names the option.
    """
    for name, one in options_of(values.__class__).items():
        value = getattr(values, name)
        if value is not None or one.default is not None:
            one.check(name, value)


def check_limit_order(soft_s: float | None, hard_s: float | None) -> None:
    """Check that the soft time limit comes before the hard one, seconds.

    Raises:
        InvalidTask: it does not.
    """
    if soft_s is not None and hard_s is not None and soft_s >= hard_s:
        raise InvalidTask(f"soft_time_limit is {soft_s:g} s and time_limit {hard_s:g} s; the soft one must come first.")


def seconds(value: Any) -> Any:
    """Return a timedelta in seconds, and any other value unchanged."""
    return value.total_seconds() if isinstance(value, timedelta) else value


def first_ms(when: datetime) -> int:
    """Return the first whole ms since the epoch that is not before ``when`` (naive: local time)."""
    if when.tzinfo is None:
        when = when.astimezone(UTC)
    return max(0, -((_EPOCH - when) // _MS))


# -- checks of one option: (name, value), raise InvalidTask --------------------------------------------


def limit(name: str, value: Any) -> None:
    """Check seconds above 0."""
    check_seconds(name, value, InvalidTask)


def duration(name: str, value: Any) -> None:
    """Check seconds from 0, or a timedelta."""
    check_seconds(name, seconds(value), InvalidTask, above_zero=False)


def retries(name: str, value: Any) -> None:
    """Check a number of retries from 0."""
    check_count(name, value, InvalidTask, least=0)


def delay(name: str, value: Any) -> None:
    """Check seconds from 0."""
    check_seconds(name, value, InvalidTask, above_zero=False)


def moment(name: str, value: Any) -> None:
    """Check a datetime."""
    if not isinstance(value, datetime):
        raise InvalidTask(f"{name} is {value!r}; it must be a datetime.")


def duration_or_moment(name: str, value: Any) -> None:
    """Check seconds from 0, a timedelta, or a datetime."""
    if not isinstance(value, datetime):
        duration(name, value)


def retries_or_none(name: str, value: Any) -> None:
    """Check a number of retries from 0, or None."""
    if value is not None:
        retries(name, value)


def retries_or_without_end(name: str, value: Any) -> None:
    """Check a number of retries from 0, or `WITHOUT_END`."""
    if value != WITHOUT_END:
        retries(name, value)


def priority(name: str, value: Any) -> None:
    """Check a priority, -100 to 100."""
    check_count(name, value, InvalidTask, least=-100, most=100)


def queue_name(_name: str, value: Any) -> None:
    """Check a queue's name."""
    check_queue(value)


def task_id(_name: str, value: Any) -> None:
    """Check a task's id."""
    check_id(value)


def switch(name: str, value: Any) -> None:
    """Check True or False."""
    if not isinstance(value, bool):
        raise InvalidTask(f"{name} is {value!r}; it must be True or False.")


def backend_alias(name: str, value: Any) -> None:
    """Check an alias."""
    if not isinstance(value, str):
        raise InvalidTask(f"{name} is {value!r}; it must be an alias of the setting TASKS.")


def durability(name: str, value: Any) -> None:
    """Check a durability level."""
    check_durability(name, value, InvalidTask)


def headers(name: str, value: Any) -> None:
    """Check a dict with strings as keys."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InvalidTask(f"{name} is {value!r}; it must be a dict with strings as keys.")


def exception_classes(name: str, value: Any) -> None:
    """Check a tuple of exception classes."""
    if not isinstance(value, tuple) or not all(isinstance(e, type) and issubclass(e, BaseException) for e in value):
        raise InvalidTask(f"{name} is {value!r}; it must be exception classes, for example ({name}=(OSError,)).")


# -- conversions of values given under documented names: (name, value) -> the field's value ------------


def to_limit(name: str, value: Any) -> Any:
    """Return seconds or a timedelta as seconds above 0; None stays None."""
    if value is None:
        return None
    value = seconds(value)
    limit(name, value)
    return value


def to_duration(name: str, value: Any) -> Any:
    """Return seconds or a timedelta as seconds from 0."""
    value = seconds(value)
    duration(name, value)
    return value


def to_backoff(name: str, value: Any) -> Any:
    """Return True as 1, False as 0, and anything else as `to_duration` does."""
    return float(value) if isinstance(value, bool) else to_duration(name, value)


def to_exception_classes(name: str, value: Any) -> Any:
    """Return one exception class, or a sequence of them, as a tuple."""
    found: Any = (value,) if isinstance(value, type) else value
    found = tuple(found) if isinstance(found, Sequence) and not isinstance(found, str) else found
    exception_classes(name, found)
    return found


def to_retries(name: str, value: Any) -> Any:
    """Return a number of retries; None, for retries without end, stays None."""
    retries_or_none(name, value)
    return value


def to_optional_switch(name: str, value: Any) -> Any:
    """Return True, False or None."""
    return None if value is None else to_switch(name, value)


def to_switch(name: str, value: Any) -> Any:
    """Return True or False."""
    switch(name, value)
    return value


def split_parent_id(values: dict[str, Any]) -> None:
    """Move the id of the task to run after from ``link``, where it stands alone or among signatures, to ``after``."""
    link = values["link"]
    if isinstance(link, str):
        values["after"] = values.pop("link")
    elif isinstance(link, Sequence) and not isinstance(link, bytes):
        ids = [one for one in link if isinstance(one, str)]
        if len(ids) > 1:
            raise InvalidTask(f"link is {link!r}; it holds {len(ids)} ids, but a task can run after one only.")
        if ids:
            values["after"] = ids[0]
            values["link"] = [one for one in link if not isinstance(one, str)]
    try:
        check_id(values.get("after", "-"))
    except InvalidTask as error:
        raise InvalidTask(f"link: {error}") from error
