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
from django.db.models import Model
from django.tasks import default_task_backend
from django.tasks.signals import task_enqueued
from django.test import override_settings
from django.test.utils import isolate_apps

from contract.app import tasks
from streamtasks import ConfigurationError, Message, Middleware
from streamtasks_django.framework import normalize_json

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
    {"1": "int", b"bytes": "text"},
    {"deep": {"2": [{"x": (1,)}]}},
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


@pytest.mark.parametrize("key", [1, None, 2.5, True], ids=repr)
def test_a_key_that_is_no_string_is_a_type_error_with_its_place(key: Any) -> None:
    with pytest.raises(
        TypeError, match=rf"args\[0\]\['rates'\] of task .*echo has the key {key!r}. Pass a dict with str"
    ):
        tasks.echo.enqueue({"rates": {key: 1, str(key): 2}})
    with pytest.raises(TypeError, match=r"kwargs\['rates'\] of task"):
        tasks.echo.enqueue(rates={key: 1})


def test_bytes_that_are_no_text_are_a_value_error() -> None:
    with pytest.raises(ValueError, match="Unsupported value"):
        tasks.echo.enqueue(b"\xff")


class Order:
    """Something that JSON does not know."""


class Forgetful(Middleware):
    """Middleware that forgets to return the message."""

    def before_enqueue(self, message: Message) -> Message:
        return None  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ([1, {"when": datetime(2026, 1, 1, tzinfo=UTC)}], {}, r"args\[1\]\['when'\] of .* is a datetime; .*isoformat"),
        ([], {"value": Decimal(1)}, r"kwargs\['value'\] of the task .*echo is a Decimal; pass str\(\)"),
        ([{3, 1}], {}, r"args\[0\] of the task .* is a set; pass a sorted list"),
        ([[Order()]], {}, r"args\[0\]\[0\] of the task .* is a Order; pass a str, int"),
    ],
)
def test_a_refused_argument_is_named_with_a_remedy(args: Any, kwargs: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text) as caught:
        tasks.echo.enqueue(*args, **kwargs)
    assert str(caught.value).startswith("Unsupported type: <class ")


@isolate_apps("contract.app")
def test_a_model_instance_is_refused_with_its_primary_key_as_the_remedy() -> None:
    class Row(Model):  # noqa: DJ008
        class Meta:
            app_label = "app"

    with pytest.raises(TypeError, match=r"args\[0\] of the task .* is a Row; pass its primary key"):
        tasks.echo.enqueue(Row(pk=7))


def test_middleware_that_returns_no_message_is_named() -> None:
    with (
        override_settings(STREAMTASKS={"MIDDLEWARE": [f"{__name__}.Forgetful"]}),
        pytest.raises(ConfigurationError, match=r"Forgetful.before_enqueue\(\) returned None; it must return"),
    ):
        tasks.echo.enqueue(1)
