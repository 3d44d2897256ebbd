"""Decide which occurrences of a schedule to fire now, which were missed, and when the next one is."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, get_args

from ..exceptions import InvalidTask
from .rules import Rule

__all__ = ["LATE_MS", "MISFIRES", "MOST_AT_ONCE", "MOST_MISSED", "Misfire", "Plan", "check_misfire", "plan"]

Misfire = Literal["one", "skip", "all"]
MISFIRES: Final = get_args(Misfire)

LATE_MS: Final = 60_000
"""With ``misfire="skip"``: an occurrence that is later than this, ms, is missed."""

MOST_MISSED: Final = 1000
"""With ``misfire="all"``: how many are fired after a pause, the newest ones."""

MOST_AT_ONCE: Final = 100
"""Most occurrences fired by one call."""


class Plan(NamedTuple):
    """``fires``: the occurrences to fire, ms since the epoch, oldest first; ``missed``: how many others before
    ``next_ms``, the next occurrence, bring nothing.
    """

    fires: list[int]
    missed: int
    next_ms: int


def plan(rule: Rule, next_ms: int, now_ms: int, misfire: str, bound_ms: int) -> Plan:
    """Return what a schedule does now. It takes about the same time after a second and after a year.

    Args:
        rule: of the schedule.
        next_ms: its next occurrence, as it is stored, ms since the epoch.
        now_ms: the time, ms since the epoch.
        misfire: ``"one"``: of all that are due, fire the last; ``"skip"``: fire that only if it is at most `LATE_MS`
            late; ``"all"``: fire every one, at most `MOST_AT_ONCE` now and the rest when it is asked again.
        bound_ms: an occurrence that is older than this is never fired.
    """
    if next_ms > now_ms:
        return Plan([], 0, next_ms)
    oldest_ms = max(next_ms, now_ms - (min(bound_ms, LATE_MS) if misfire == "skip" else bound_ms))
    fires = rule.latest(oldest_ms, now_ms, MOST_MISSED if misfire == "all" else 1)
    later_ms = fires[MOST_AT_ONCE] if len(fires) > MOST_AT_ONCE else rule.next_ms(now_ms)
    fires = fires[:MOST_AT_ONCE]
    return Plan(fires, rule.count(next_ms, later_ms - 1) - len(fires), later_ms)


def check_misfire(misfire: str) -> None:
    """Check a policy.

    Raises:
        InvalidTask: it is none of `MISFIRES`.
    """
    if misfire not in MISFIRES:
        raise InvalidTask(f"misfire is {misfire!r}; it must be one of {', '.join(map(repr, MISFIRES))}.")
