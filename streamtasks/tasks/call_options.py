"""Options of one call: what ``apply_async()`` and ``Signature.set()`` take, checked, named in every error."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ..exceptions import InvalidTask
from ..protocol.keys import check_id, check_queue
from ..protocol.validation import check_count, check_seconds, is_number

if TYPE_CHECKING:
    from .signature import Signature

__all__ = ["NO_OPTIONS", "WITHOUT_END", "CallOptions", "given_options", "patience_of", "seconds"]

WITHOUT_END: Final = -1
"""Stands for ``max_retries=None``, where None means that nothing is said."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)

_POLICY: Final[dict[str, float]] = {"max_retries": 3, "interval_start": 0.0, "interval_step": 0.2, "interval_max": 0.2}
"""What ``retry_policy`` says where it says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """What is said of one call; all may be left out, then the task's own options hold. Make it with `of`.

    Attributes:
        queue: the queue's name.
        priority: -100 (last) to 100 (first).
        task_id: the id to use; enqueueing the same id again does nothing.
        countdown: not before so many seconds from now (by the store's clock), or a timedelta.
        eta: not before this time; a naive one is local time.
        expires: not to be started later: seconds from now or a timedelta, or a datetime (a naive one is local time).
        soft_time_limit, time_limit: limits of one attempt, seconds.
        max_retries: how often it may be run again; `WITHOUT_END` for ever.
        default_retry_delay: seconds before a retry that names no delay.
        headers: what travels along: JSON, by name.
        link: signatures of what runs after it succeeded; of a chain, group or chord, the call that starts it.
        link_error: likewise of what runs after it finally failed.
        after: the id of an enqueued task that must succeed before this one is run (``link="<id>"``).
        retry: False: enqueueing is tried once, and not repeated while the store cannot be reached.
        retry_policy: how long it is repeated: ``max_retries``, ``interval_start``, ``interval_step``, ``interval_max``.
        backend: the alias of the backend that gets it (Django).
    """

    queue: str | None = None
    priority: int | None = None
    task_id: str | None = None
    countdown: float | timedelta | None = None
    eta: datetime | None = None
    expires: float | timedelta | datetime | None = None
    soft_time_limit: float | None = None
    time_limit: float | None = None
    max_retries: int | None = None
    default_retry_delay: float | None = None
    headers: Mapping[str, Any] = field(default_factory=dict, hash=False)
    link: tuple[Signature, ...] = ()
    link_error: tuple[Signature, ...] = ()
    after: str = ""
    retry: bool = True
    retry_policy: Mapping[str, Any] | None = field(default=None, hash=False)
    backend: str | None = None

    def __post_init__(self) -> None:
        if self.queue is not None:
            check_queue(self.queue)
        if self.priority is not None:
            check_count("priority", self.priority, InvalidTask, least=-100, most=100)
        if self.task_id is not None:
            check_id(self.task_id)
        self._check_times()
        for name in ("soft_time_limit", "time_limit"):
            if getattr(self, name) is not None:
                check_seconds(name, getattr(self, name), InvalidTask)
        soft_s, hard_s = self.soft_time_limit, self.time_limit
        if soft_s is not None and hard_s is not None and soft_s >= hard_s:
            raise InvalidTask(
                f"soft_time_limit is {soft_s:g} s and time_limit {hard_s:g} s; the soft one must come first."
            )
        if self.max_retries is not None and self.max_retries != WITHOUT_END:
            check_count("max_retries", self.max_retries, InvalidTask, least=0)
        if self.default_retry_delay is not None:
            check_seconds("default_retry_delay", self.default_retry_delay, InvalidTask, above_zero=False)
        if not isinstance(self.headers, Mapping) or not all(isinstance(name, str) for name in self.headers):
            raise InvalidTask(f"headers is {self.headers!r}; it must be a dict with strings as keys.")
        if self.backend is not None and not isinstance(self.backend, str):
            raise InvalidTask(f"backend is {self.backend!r}; it must be an alias of the setting TASKS.")
        if not isinstance(self.retry, bool):
            raise InvalidTask(f"retry is {self.retry!r}; it must be True or False.")
        if self.retry_policy is not None:
            _check_policy(self.retry_policy)

    def _check_times(self) -> None:
        if self.countdown is not None and self.eta is not None:
            raise InvalidTask(f"countdown is {self.countdown!r} and eta is {self.eta!r}; give one of them.")
        countdown = self.countdown
        if countdown is not None:
            check_seconds("countdown", seconds(countdown), InvalidTask, above_zero=False)
        if self.eta is not None and not isinstance(self.eta, datetime):
            raise InvalidTask(f"eta is {self.eta!r}; it must be a datetime.")
        if self.expires is not None and not isinstance(self.expires, datetime):
            check_seconds("expires", seconds(self.expires), InvalidTask, above_zero=False)

    @classmethod
    def of(cls, given: Mapping[str, Any], base: CallOptions | None = None) -> CallOptions:
        """Return the options that a user gave by name; ``base``: what they are said on top of.

        Raises:
            InvalidTask: one has an unknown name or a wrong value; the message names it.
        """
        values: dict[str, Any] = {}
        for name, value in given.items():
            if name not in OPTION_NAMES:
                close = difflib.get_close_matches(str(name), OPTION_NAMES, n=1)
                meant = f" Did you mean {close[0]!r}?" if close else ""
                raise InvalidTask(f"{name!r} is no option of a call.{meant} Known: {', '.join(sorted(OPTION_NAMES))}.")
            values[name] = value
        if "max_retries" in values:
            if values["max_retries"] is None:
                values["max_retries"] = WITHOUT_END
            else:
                check_count("max_retries", values["max_retries"], InvalidTask, least=0)
        if "link" in values:
            _part_parent(values)
        for name in ("link", "link_error"):
            if name in values:
                values[name] = _signatures(name, values[name])
        if "headers" in values and values["headers"] is None:
            values["headers"] = {}
        if base is None:
            return cls(**values)
        # What is said anew about the start replaces both ways of saying it.
        if values.get("countdown") is not None:
            values.setdefault("eta", None)
        elif values.get("eta") is not None:
            values.setdefault("countdown", None)
        return replace(base, **values)

    def due(self) -> tuple[int | None, int | None]:
        """Return (``due_ms``, ``delay_ms``) of a `NewMessage`. Never early, not even by a part of a ms."""
        if self.eta is not None:
            return _first_ms(self.eta), None
        if self.countdown is not None:
            return None, math.ceil(seconds(self.countdown) * 1000)
        return None, None

    def expires_ms(self, now_s: float) -> int:
        """Return when a call enqueued at ``now_s`` (s since the epoch) expires, ms since the epoch; 0: never."""
        if self.expires is None:
            return 0
        if isinstance(self.expires, datetime):
            return max(1, _first_ms(self.expires))
        later_s: float = seconds(self.expires)
        return max(1, round((now_s + later_s) * 1000))


OPTION_NAMES: Final = frozenset(option.name for option in fields(CallOptions)) - {"after"}
"""What ``apply_async()`` takes."""

NO_OPTIONS: Final = CallOptions()
"""Nothing is said: everything is as the task says."""


def given_options(options: CallOptions) -> dict[str, Any]:
    """Return the options by the names under which a user gives them, without those that say nothing."""
    found = {
        name: value
        for name in (option.name for option in fields(CallOptions))
        if (value := getattr(options, name)) != getattr(NO_OPTIONS, name)
    }
    if "after" in found:
        found["link"] = [found.pop("after"), *options.link]
    if found.get("max_retries") == WITHOUT_END:
        found["max_retries"] = None
    return found


def _first_ms(when: datetime) -> int:
    """Return the first whole ms since the epoch that is not before ``when`` (naive: local time)."""
    if when.tzinfo is None:
        when = when.astimezone(UTC)
    return max(0, -((_EPOCH - when) // _MS))


def seconds(value: Any) -> Any:
    """Return a timedelta in seconds; anything else as it is, to be checked."""
    return value.total_seconds() if isinstance(value, timedelta) else value


def patience_of(options: CallOptions) -> float | None:
    """Return for how long enqueueing is repeated, seconds; None: as the settings say, 0: one try."""
    if not options.retry:
        return 0.0
    if options.retry_policy is None:
        return None
    policy = {**_POLICY, **options.retry_policy}
    most = policy["max_retries"]
    if most is None:
        return None
    start, step, longest = policy["interval_start"], policy["interval_step"], policy["interval_max"]
    return float(sum(min(start + step * turn, longest) for turn in range(int(most))))


def _check_policy(policy: Any) -> None:
    if not isinstance(policy, Mapping):
        raise InvalidTask(f"retry_policy is {policy!r}; it must be a dict.")
    for name, value in policy.items():
        if name not in _POLICY:
            raise InvalidTask(f"retry_policy has the unknown key {name!r}. Known: {', '.join(_POLICY)}.")
        if name == "max_retries":
            if value is not None:
                check_count("retry_policy['max_retries']", value, InvalidTask, least=0, most=10_000)
        elif not is_number(value) or value < 0:
            raise InvalidTask(f"retry_policy[{name!r}] is {value!r}; it must be a number of seconds from 0.")


def _part_parent(values: dict[str, Any]) -> None:
    """Take the id of the task to run after out of ``link``, alone or in a list with signatures."""
    link = values["link"]
    if isinstance(link, str):
        values["after"] = _parent_id(values.pop("link"))
    elif isinstance(link, Sequence) and not isinstance(link, bytes):
        ids = [one for one in link if isinstance(one, str)]
        if len(ids) > 1:
            raise InvalidTask(f"link is {link!r}; it holds {len(ids)} ids, but a task can run after one only.")
        if ids:
            values["after"] = _parent_id(ids[0])
            values["link"] = [one for one in link if not isinstance(one, str)]


def _parent_id(task_id: str) -> str:
    try:
        return check_id(task_id)
    except InvalidTask as error:
        raise InvalidTask(f"link: {error}") from error


def _signatures(name: str, value: Any) -> tuple[Signature, ...]:
    from ..workflows.canvas import Canvas
    from ..workflows.linked import linked
    from .signature import Signature

    if value is None:
        return ()
    found = value if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else (value,)
    signatures: list[Signature] = []
    for given in found:
        one = linked(given) if isinstance(given, Canvas) else given
        if not isinstance(one, Signature):
            or_id = ", or the id of a task to run after" if name == "link" else ""
            raise InvalidTask(
                f"{name} is {value!r}; it must be a signature (task.s(...)), a chain, group or chord, a list of "
                f"these{or_id}."
            )
        if one.options.after:
            raise InvalidTask(f"{name}: {one!r} is linked to task {one.options.after} already; it can follow only one.")
        signatures.append(one)
    return tuple(signatures)
