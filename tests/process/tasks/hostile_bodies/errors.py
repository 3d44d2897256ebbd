"""Bodies that raise odd exceptions and return odd values."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

from streamtasks import Retry

from .body import Bodies

__all__ = ["BODIES"]

BODIES = hostile = Bodies()


@hostile()
def exit_the_interpreter() -> None:
    """Call `sys.exit(3)`."""
    sys.exit(3)


@hostile()
def raise_keyboard_interrupt() -> None:
    """Raise KeyboardInterrupt."""
    raise KeyboardInterrupt


@hostile()
def raise_generator_exit() -> None:
    """Raise GeneratorExit."""
    raise GeneratorExit


@hostile()
def raise_stop_iteration() -> None:
    """Raise StopIteration."""
    raise StopIteration


@hostile()
def pretend_to_be_cancelled() -> None:
    """Raise `asyncio.CancelledError`."""
    raise asyncio.CancelledError


@hostile()
def raise_memory_error() -> None:
    """Ask for more memory than there is."""
    bytearray(1 << 60)


class _OwnBase(BaseException):
    pass


@hostile()
def raise_an_own_base_exception() -> None:
    """Raise a class that is derived from BaseException alone."""
    raise _OwnBase("odd")


@hostile()
def raise_a_group() -> None:
    """Raise a BaseExceptionGroup with SystemExit and KeyboardInterrupt in it."""
    raise BaseExceptionGroup("all at once", [SystemExit(1), KeyboardInterrupt(), ValueError("no")])


@hostile()
def retry_in_ages() -> None:
    """Ask for a retry in 1e306 s."""
    raise Retry("later", delay_s=1e306)


class _Unspeakable(Exception):
    def __init__(self, ending: type[BaseException]) -> None:
        self._ending = ending

    def __str__(self) -> str:
        raise self._ending

    __repr__ = __str__

    def __reduce__(self) -> Any:
        raise self._ending


@hostile()
def raise_what_exits_when_shown() -> None:
    """Raise an error whose `str()`, `repr()` and pickle raise SystemExit."""
    raise _Unspeakable(SystemExit)


@hostile()
def raise_what_ends_a_generator_when_shown() -> None:
    """Raise an error whose `str()`, `repr()` and pickle raise GeneratorExit."""
    raise _Unspeakable(GeneratorExit)


class _Untouchable(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(name)

    def __hash__(self) -> int:
        raise SystemExit("hash")

    def __eq__(self, other: object) -> bool:
        raise SystemExit("eq")


@hostile()
def raise_what_cannot_be_touched() -> None:
    """Raise an error of which every attribute, hash and comparison raises SystemExit."""
    raise _Untouchable


@hostile()
def raise_a_giant() -> None:
    """Raise an error with a text of 50 MB."""
    raise ValueError("x" * 50_000_000)


@hostile()
def raise_a_chain() -> None:
    """Raise an error with 20,000 causes."""
    error: Exception = ValueError("first")
    for number in range(20_000):
        error, cause = ValueError(number), error
        error.__cause__ = cause
    raise error


@hostile()
def recurse_for_ever() -> None:
    """Call itself without end."""
    recurse_for_ever()


@hostile()
def return_what_is_no_json() -> Any:
    """Return an object that JSON cannot carry."""
    return object()


@hostile()
def return_a_giant() -> str:
    """Return 20 MB, more than `max_payload_bytes`."""
    return "x" * 20_000_000


@hostile()
def return_itself() -> list[Any]:
    """Return a list that contains itself."""
    value: list[Any] = []
    value.append(value)
    return value


@hostile()
def return_deep_lists() -> list[Any]:
    """Return 100,000 lists inside each other."""
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


@hostile()
def return_a_lone_surrogate() -> str:
    """Return text that UTF-8 cannot carry."""
    return "\ud800"


class _Items(dict[str, Any]):
    def items(self) -> Any:
        raise SystemExit("items")

    def __iter__(self) -> Iterator[str]:
        raise SystemExit("iter")

    def __len__(self) -> int:
        raise SystemExit("len")


@hostile()
def return_a_dict_that_exits() -> dict[str, Any]:
    """Return a dict whose methods raise SystemExit."""
    return _Items(a=1)


@hostile()
def return_a_coroutine() -> Any:
    """Return a coroutine that nobody awaits."""
    return asyncio.sleep(0)
