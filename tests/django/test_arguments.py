"""Arguments at the border of JSON: they mean what a round trip makes of them, or are refused."""

from __future__ import annotations

import json
from collections import OrderedDict
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from django.tasks import default_task_backend
from django.tasks.signals import task_enqueued
from django.utils.json import normalize_json

from contract.app import tasks

pytestmark = pytest.mark.usefixtures("site")


class Colour(StrEnum):
    """A str that is more than one."""

    RED = "red"


JSON_VALUES: list[Any] = [
    None,
    True,
    1.5,
    2**70,
    -(2**64),
    "a\x00b",
    "\ud800",
    "naïve ☃ 𝄞",
    b"caf\xc3\xa9",
    (1, (2, [3])),
    range(3),
    {1: "int", None: "none", 2.5: "float"},
    {"deep": {2: [{"x": (1,)}]}},
    MappingProxyType({"a": 1}),
    OrderedDict(b=1, a=2),
    bytearray(b"ab"),
    Colour.RED,
    float("inf"),
    "",
    [],
    {},
    "~tilde",
    10**16,
    1e16,
]


@pytest.mark.parametrize("value", JSON_VALUES, ids=repr)
def test_arguments_mean_what_json_makes_of_them(value: Any) -> None:
    expected = json.loads(json.dumps(normalize_json(value)))
    result = tasks.echo.enqueue(value, key=value)
    assert result.args == [expected]
    assert result.kwargs == {"key": expected}
    again = default_task_backend.get_result(result.id)
    assert again.args == [expected]
    assert again.kwargs == {"key": expected}
    assert [type(item) for item in again.args] == [type(expected)]


def test_nan_stays_nan() -> None:
    again = default_task_backend.get_result(tasks.echo.enqueue(float("nan")).id)
    assert again.args[0] != again.args[0]


def test_arguments_are_copied_at_the_time_of_the_call() -> None:
    argument = {"list": [1]}
    result = tasks.echo.enqueue(argument)
    argument["list"].append(2)
    assert result.args == [{"list": [1]}]
    assert default_task_backend.get_result(result.id).args == [{"list": [1]}]


@pytest.mark.parametrize(
    "value",
    [
        {1},
        pytest.param(object(), id="object"),
        UUID(int=1),
        date(2026, 1, 1),
        Decimal(1),
        1j,
        datetime(2026, 1, 1, tzinfo=UTC),
        {(1, 2): 3},
        [{"a": {1}}],
    ],
    ids=repr,
)
def test_what_json_cannot_carry_is_a_type_error_and_stores_nothing(value: Any) -> None:
    told: list[Any] = []

    def receiver(task_result: Any, **_: Any) -> None:
        told.append(task_result)

    task_enqueued.connect(receiver)
    try:
        with pytest.raises(TypeError):
            tasks.echo.enqueue(value)
        with pytest.raises(TypeError):
            tasks.echo.enqueue(key=value)
    finally:
        task_enqueued.disconnect(receiver)
    assert told == []


def test_bytes_that_are_no_text_are_a_value_error() -> None:
    with pytest.raises(ValueError, match="Unsupported value"):
        tasks.echo.enqueue(b"\xff")
