"""A value means what the standard library's JSON makes of it, or is refused with its type named."""

from __future__ import annotations

import json
import math
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamtasks.exceptions import DecodeError, InvalidTask
from streamtasks.protocol.json import dumps, loads

Pair = namedtuple("Pair", "left right")  # pyright: ignore[reportUntypedNamedTuple]


class Colour(StrEnum):
    RED = "red"


class Number(IntEnum):
    ONE = 1


class Plain(Enum):
    A = "a"


@dataclass
class Point:
    x: int


def same(left: Any, right: Any) -> bool:
    """Equal, of equal types, at any depth; NaN equals itself."""
    return type(left) is type(right) and repr(left) == repr(right)


def json_meaning(value: Any) -> Any:
    return json.loads(json.dumps(value))


KEYS = st.text(st.characters(exclude_categories=())) | st.sampled_from([Colour.RED])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**62, 2**66)
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.sampled_from([Colour.RED, Number.ONE, 2**53 + 1, -0.0, 1e16, 5e-324])
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(KEYS, inner), max_leaves=12
)


@given(VALUES)
def test_any_value_means_what_json_makes_of_it(value: Any) -> None:
    assert same(loads(dumps(value)), json_meaning(value))


@pytest.mark.parametrize(
    "value",
    [
        float("inf"),
        -math.inf,
        2**63,
        2**64,
        2**70,
        -(2**70),
        (1, (2, [3])),
        {"a": (1, 2)},
        Pair(1, 2),
        OrderedDict(b=1, a=2),
        "\ud800 alone",
        {"\udfff": 1},
        "\x00\u2028é🎉",
        Colour.RED,
        {Colour.RED: Number.ONE},
        [[[[[]]]]],
    ],
    ids=repr,
)
def test_what_orjson_reads_otherwise(value: Any) -> None:
    assert same(loads(dumps(value)), json_meaning(value))


def test_nan_stays_nan() -> None:
    assert math.isnan(loads(dumps({"x": [float("nan")]}))["x"][0])


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (UUID(int=1), "UUID"),
        ({1, 2}, "set"),
        (b"bytes", "bytes"),
        (datetime(2026, 1, 1, tzinfo=UTC), "datetime"),
        (Decimal("1.5"), "Decimal"),
        (Point(1), "Point"),
        (Plain.A, "Plain"),
        (object(), "object"),
        (1j, "complex"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize(
    "wrap", [lambda v: v, lambda v: [v], lambda v: {"k": {"k": (v,)}}], ids=["bare", "list", "deep"]
)
def test_what_json_cannot_carry_is_refused_by_its_type(value: Any, kind: str, wrap: Any) -> None:
    with pytest.raises(InvalidTask, match=f"JSON cannot carry.*{kind}"):
        dumps(wrap(value))


@pytest.mark.parametrize("key", [(1, 2), b"k", UUID(int=1)], ids=repr)
def test_keys_that_json_cannot_carry_are_refused(key: Any) -> None:
    with pytest.raises(InvalidTask, match="keys must be"):
        dumps({key: 1})


def test_a_value_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidTask, match="JSON cannot carry"):
        dumps(endless)


def test_an_integer_of_thousands_of_digits_is_refused() -> None:
    with pytest.raises(InvalidTask):
        dumps(10**5000)


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda data: b"~" + data))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        value = loads(data)
    except DecodeError:
        return
    assert loads(dumps(value)) == value


@pytest.mark.parametrize(
    "data", [b"", b"~", b"{", b"~{", b"\xff", b"~\xff\xfe\x00", b"[" * 200_000, b"~" + b"[" * 200_000]
)
def test_broken_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError, match="not JSON"):
        loads(data)
