"""Errors as data: described whatever they are, and made again only if that is safe."""

from __future__ import annotations

import sys

import pytest

from streamtasks.exceptions import TaskFailed
from streamtasks.protocol.errors import MAX_TEXT, describe, rebuild


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_type_message_and_traceback_are_told() -> None:
    found = describe(raised(ValueError("bad")))
    assert (found["type"], found["message"]) == ("builtins.ValueError", "bad")
    assert "ValueError: bad" in found["traceback"]
    assert "raise error" in found["traceback"]


def test_a_cause_is_in_the_traceback() -> None:
    error = RuntimeError("second")
    error.__cause__ = raised(KeyError("first"))
    assert "KeyError: 'first'" in describe(raised(error))["traceback"]


@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit, KeyboardInterrupt, MemoryError])
def test_what_its_methods_raise_never_gets_out(kind: type[BaseException]) -> None:
    class Hostile(Exception):
        def __str__(self) -> str:
            raise kind

        @property
        def __notes__(self) -> list[str]:  # type: ignore[override]
            raise kind

    found = describe(raised(Hostile()))
    assert found["type"].endswith("Hostile")
    assert kind.__name__ in found["message"]
    assert found["traceback"]


def test_a_class_without_a_readable_name() -> None:
    class Module:
        def __format__(self, spec: str) -> str:
            raise SystemExit

    found = describe(raised(type("Odd", (Exception,), {"__module__": Module()})("bad")))
    assert found["message"] == "bad"


def test_an_error_that_cannot_be_printed_is_told_all_the_same() -> None:
    found = describe(raised(Unprintable()))
    assert found["type"].endswith("Unprintable")
    assert "RuntimeError" in found["message"]


def test_texts_are_bounded_and_can_be_carried() -> None:
    found = describe(raised(ValueError("\ud800" + "x" * 100_000)))
    assert len(found["message"]) <= MAX_TEXT + 10
    assert len(found["traceback"]) <= 2 * MAX_TEXT
    assert found["message"].encode()


@pytest.mark.parametrize(
    "path",
    ["os.system", "builtins.print", "builtins.SystemExit", "no.such.module.Error", "", "ValueError", "builtins.object"],
)
def test_only_exceptions_are_made_and_nothing_is_imported(path: str) -> None:
    again = rebuild({"type": path, "message": "why", "traceback": "text"})
    assert type(again) is TaskFailed
    assert (again.exception_path, again.traceback) == (path, "text")
    assert "why" in str(again)


@pytest.mark.parametrize(
    "error",
    [
        KeyError("k"),
        KeyError(3),
        KeyError(("a", None)),
        KeyError(object()),
        KeyError(),
        LookupError("x"),
        TaskFailed("y"),
    ],
)
def test_it_says_again_what_it_said(error: Exception) -> None:
    again = rebuild(describe(error))
    assert (type(again), str(again)) == (type(error), str(error))


def test_a_record_of_another_shape_is_still_an_error() -> None:
    assert isinstance(rebuild({}), TaskFailed)


def test_the_ends_of_a_very_long_traceback_are_kept() -> None:
    def deeper(left: int) -> None:
        if left:
            deeper(left - 1)
        raise ValueError("deep")

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        with pytest.raises(ValueError, match="deep") as raised:
            deeper(10_000)
        text = describe(raised.value)["traceback"]
    finally:
        sys.setrecursionlimit(limit)
    assert "(10002 frames; the first and the last are shown)" in text
    assert text.startswith("  File")
    assert text.endswith("ValueError: deep\n")
