"""The tiers of the tests, and which files can hold tests of one."""

from __future__ import annotations

import re
from functools import cache
from itertools import chain, combinations
from typing import TYPE_CHECKING, Final

from _pytest.mark.expression import Expression

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["FAST", "NAMED", "TIMING", "check_named", "may_select"]

FAST: Final = "fast"
TIMING: Final = "timing"
NAMED: Final = ("topology", "browser", "chaos", "slow")
_MARKS: Final = (*NAMED, TIMING, "outage")
_BOUND: Final = "bound"
"""The fixture that makes a test one of the timing tier, too."""


def may_select(expression: str, path: Path) -> bool:
    """Whether ``-m`` with this expression may select a test of a file, by the marks that its text names."""
    known = set(re.findall(r"\w+", expression)) <= {FAST, *_MARKS, "and", "or", "not"}
    return not known or _selects_some(expression, _named(path))


def check_named(path: Path, marks: Iterable[str]) -> None:
    """Check that the text of a file names the marks of a test of it, without which `may_select` could not see them.

    Raises:
        ValueError: it does not.
    """
    if unnamed := set(marks).intersection(_MARKS).difference(_named(path)):
        raise ValueError(f"{path.name} has tests with the mark {unnamed}: the file must name it, see {__name__}")


@cache
def _named(path: Path) -> tuple[str, ...]:
    text = path.read_text("utf-8")
    return tuple(mark for mark in _MARKS if mark in text or (mark == TIMING and _BOUND in text))


@cache
def _selects_some(expression: str, marks: tuple[str, ...]) -> bool:
    """Whether an expression selects tests with some of these marks, or with none of them."""
    compiled = Expression.compile(expression) if expression.strip() else None
    some = chain.from_iterable(combinations((FAST, *marks), count) for count in range(len(marks) + 2))
    return compiled is None or any(compiled.evaluate(lambda name, /, **_: name in one) for one in some)  # noqa: B023
