"""Frames: the bytes that they make are those of the long way, and what does not fit in takes the long way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from streamtasks import StoreSettings, StreamTasks
from streamtasks.protocol.heard import NOTHING
from streamtasks.protocol.message import Message
from streamtasks.tasks.attempt import Attempt, entered
from streamtasks.tasks.enqueue import build, pack
from streamtasks.tasks.frame import Frame
from streamtasks.tasks.signature import CallOptions

SETTINGS = StoreSettings()
CALL = CallOptions.of({"queue": "default", "priority": 0})
NESTED = {"a": [1, {"b": "\u00e9\u2603"}], "c": None}


@pytest.mark.parametrize(
    "call",
    [
        CALL,
        CallOptions.of({"queue": "mails", "priority": -7, "headers": {"who": "me"}, "max_retries": 3, "time_limit": 9}),
        CallOptions.of({"queue": "q", "priority": 1, "ignore_result": True, "durability": "memory"}),
    ],
)
@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((1, "two"), {}), ([], {"x": NESTED}), ((NESTED,), {"y": 2.5})])
def test_the_bytes_are_those_of_the_long_way(call: CallOptions, args: Any, kwargs: dict[str, Any]) -> None:
    frame = Frame.of("shop.mail", call, SETTINGS)
    assert frame is not None
    framed = frame.message(args, kwargs, NOTHING)
    assert framed is not None
    message = build("shop.mail", args, kwargs, replace(call, task_id=framed.id), SETTINGS.tags)
    assert framed == pack(message, call, None, SETTINGS, NOTHING)


@pytest.mark.parametrize(
    "options",
    [
        {"countdown": 1},
        {"expires": 5},
        {"task_id": "mine"},
        {"link": "0" * 32 + "-u0"},
        {"headers": {"x": "y" * 20_000}},
    ],
)
def test_calls_that_differ_in_more_have_none(options: dict[str, Any]) -> None:
    assert Frame.of("t", CallOptions.of(options, CALL), SETTINGS) is None


def test_what_is_sealed_or_packed_has_none() -> None:
    assert Frame.of("t", CALL, StoreSettings(signing_keys=("0" * 32,))) is None
    assert Frame.of("t", CALL, StoreSettings(serializer="msgpack")) is None


@pytest.mark.parametrize("args", [(float("nan"),), ({1: 2},), (object(),), (1 << 70,), ("x" * 2_000_000,)])
def test_what_only_the_long_way_can_encode_or_refuse_does_not_fit(args: Any) -> None:
    frame = Frame.of("t", CALL, SETTINGS)
    assert frame is not None
    assert frame.message(args, {}, NOTHING) is None
    assert frame.message((), {"x": args[0]}, NOTHING) is None


def test_a_call_within_an_attempt_has_a_parent() -> None:
    frame = Frame.of("t", CALL, SETTINGS)
    assert frame is not None
    with entered(Attempt(Message(id="parent", task="t"), 1, "w", 1, 1, 1)):
        assert frame.message((), {}, NOTHING) is None
        assert Frame.of("t", CALL, SETTINGS) is not None, "the parent is not in the frame"


def test_other_settings_make_another_frame(embedded_url: str) -> None:
    app = StreamTasks(embedded_url)
    task = app.task(name="add")(lambda a, b: a + b)
    task.enqueue(1, 2)
    assert task.enqueue(1, 2).message.args == [1, 2]
    app.owner.use(replace(app.settings, serializer="msgpack"))
    assert task.enqueue(3, 4).message.args == [3, 4]
    assert app.owner.store.read([task.enqueue(5, 6).id])[0].envelope[:1] == b"M"  # type: ignore[union-attr]
