"""The envelope: what goes in comes out, and no bytes do harm."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamtasks.exceptions import DecodeError, InvalidKey, InvalidTask, PayloadTooLarge, StreamTasksError
from streamtasks.protocol.message import MAX_HEADER_BYTES, VERSION, Message, split_body
from streamtasks.protocol.sizes import LARGE_BYTES

LIMIT = 1024 * 1024
FULL = Message(
    id="id-1",
    task="shop.tasks.pay",
    args=[1, "two", None],
    kwargs={"three": [3.5]},
    queue="mail",
    priority=-7,
    headers={"trace": "abc", "n": 1},
    max_retries=0,
    retry_delay_s=1.5,
    expires_ms=1_795_345_000_000,
)


@pytest.mark.parametrize("message", [FULL, Message(id="a", task="t")], ids=["full", "bare"])
def test_what_goes_in_comes_out(message: Message) -> None:
    assert Message.decode(message.encode(LIMIT), task_id=message.id) == message


def test_what_an_older_release_wrote_is_read() -> None:
    data = (
        b'{"v":1,"id":"id-1","t":"shop.tasks.pay","a":[1,"two",null],"k":{"three":[3.5]},"q":"mail","p":-7,'
        b'"h":{"trace":"abc","n":1},"r":{"max":0,"delay":1.5},"x":1795345000000}'
    )
    assert Message.decode(data, task_id="id-1") == FULL
    assert Message.decode(b'{"v":1,"id":"a","t":"t","a":[],"k":{},"q":"default","p":0}') == Message(id="a", task="t")


@pytest.mark.parametrize("time", [b"1795882223340", b"001795882223340", b"mx0lwo30", b"00mx0lwo30"])
def test_the_time_before_an_envelope_is_read_in_both_bases(time: bytes) -> None:
    assert split_body(time + b" {} {}") == (1_795_882_223_340, b"{} {}")


@pytest.mark.parametrize("body", [b"", b" {}", b"{} {}", b"1-0 {}"])
def test_what_has_no_time_is_no_body(body: bytes) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        split_body(body)


def test_what_goes_without_saying_takes_no_bytes() -> None:
    assert Message(id="a", task="t").encode(LIMIT) == b'{"v":2,"t":"t"}'


def test_arguments_mean_what_json_makes_of_them() -> None:
    message = Message(id="a", task="t", args=[(1, 2), 2**70, {"1": "x"}, "\ud800"])
    assert Message.decode(message.encode(LIMIT)).args == [[1, 2], 2**70, {"1": "x"}, "\ud800"]


def test_an_argument_json_cannot_carry_is_refused() -> None:
    with pytest.raises(InvalidTask, match="set"):
        Message(id="a", task="t", args=[{1}]).encode(LIMIT)


def test_a_key_that_is_no_string_is_refused_with_its_place() -> None:
    for message, place in [
        (Message(id="a", task="t", args=[0, {"x": [{1: "a", "1": "b"}]}]), "args[1]['x'][0]"),
        (Message(id="a", task="t", kwargs={"a": {1: 2}}), "kwargs['a']"),
    ]:
        with pytest.raises(InvalidKey, match=re.escape(f"{place} of task t has the key 1. Pass")) as caught:
            message.encode(LIMIT)
        assert isinstance(caught.value, (InvalidTask, TypeError))


def test_too_many_bytes_are_refused_with_both_sizes_and_the_setting() -> None:
    message = Message(id="a", task="shop.pay", args=["x" * 2000])
    with pytest.raises(PayloadTooLarge, match=r"shop\.pay takes 20\d\d bytes; max_payload_bytes is 1000"):
        message.encode(1000)
    size = len(message.encode(LIMIT))
    assert message.encode(size)
    with pytest.raises(PayloadTooLarge):
        message.encode(size - 1)


def test_large_calls_are_warned_of_once_per_task(caplog: pytest.LogCaptureFixture) -> None:
    Message(id="a", task="small", args=["x" * (LARGE_BYTES - 100)]).encode(2 * LARGE_BYTES)
    assert not caplog.records
    for _ in range(2):
        for task in ("large", "other"):
            Message(id="a", task=task, args=["x" * LARGE_BYTES]).encode(2 * LARGE_BYTES)
    assert [(record.name, record.levelname) for record in caplog.records] == [("streamtasks.tasks", "WARNING")] * 2
    assert "A call of task large takes 10486" in caplog.messages[0]
    assert "task other" in caplog.messages[1]


def test_a_call_that_is_refused_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(PayloadTooLarge):
        Message(id="a", task="refused", args=["x" * LARGE_BYTES]).encode(LARGE_BYTES)
    assert not caplog.records


def test_headers_are_bounded() -> None:
    Message(id="a", task="t", headers={"k": "x" * (MAX_HEADER_BYTES - 20)}).encode(LIMIT)
    with pytest.raises(PayloadTooLarge, match="headers"):
        Message(id="a", task="t", headers={"k": "x" * MAX_HEADER_BYTES}).encode(LIMIT)


def changed(**changes: Any) -> bytes:
    """The full envelope with other values; None takes one out."""
    body = orjson.loads(FULL.encode(LIMIT)) | changes
    if body.get("v") == 1:
        body = {"id": FULL.id, **body}
    return orjson.dumps({name: value for name, value in body.items() if value is not None})


def test_an_unknown_field_of_a_later_release_is_passed_over() -> None:
    assert Message.decode(changed(new={"x": 1}), task_id=FULL.id) == FULL


@pytest.mark.parametrize("version", [None, 0, 3, "1", [1]])
def test_another_version_is_refused_and_named(version: Any) -> None:
    with pytest.raises(DecodeError, match=f"knows 1 and {VERSION}"):
        Message.decode(changed(v=version))


@pytest.mark.parametrize(
    ("version", "name"), [(VERSION, "t"), *((1, name) for name in ("id", "t", "a", "k", "q", "p"))]
)
def test_a_missing_field_is_refused(version: int, name: str) -> None:
    with pytest.raises(DecodeError, match=f"the envelope lacks '{name}'"):
        Message.decode(changed(v=version, **{name: None}))


@pytest.mark.parametrize("version", [1, VERSION])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("t", ["x"]),
        ("a", {"x": 1}),
        ("a", "abc"),
        ("k", [1]),
        ("q", 5),
        ("p", "high"),
        ("p", 1.5),
        ("h", [1]),
        ("h", "text"),
        ("r", [3]),
        ("r", "many"),
        ("r", {"max": "three", "delay": None}),
        ("r", {"max": None, "delay": "soon"}),
        ("r", {"max": [1], "delay": {}}),
        ("x", "tomorrow"),
        ("x", [1]),
    ],
)
def test_a_value_of_a_wrong_type_is_refused(version: int, name: str, value: Any) -> None:
    """What decodes is safe to run: a worker compares and adds these without looking again."""
    with pytest.raises(DecodeError, match="envelope"):
        Message.decode(changed(v=version, **{name: value}))


@pytest.mark.parametrize(
    "data", [b"", b"null", b"[]", b'"text"', b"1", b"{}", b"~{}", b"\x00\xff", b'{"v":1}', b"~NaN"]
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        Message.decode(data)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        Message.decode(data)


@given(st.dictionaries(st.sampled_from(["v", "id", "t", "a", "k", "q", "p", "h", "r", "x"]), JSON))
def test_any_envelope_is_a_message_or_refused(changes: dict[str, Any]) -> None:
    body = orjson.loads(FULL.encode(LIMIT)) | changes
    try:
        message = Message.decode(orjson.dumps(body))
    except DecodeError:
        return
    assert isinstance(message.expires_ms or 0, (int, float))
    assert message.max_retries is None or isinstance(message.max_retries, (int, float))
    assert message.retry_delay_s is None or isinstance(message.retry_delay_s, (int, float))


def test_every_error_here_is_one_of_ours() -> None:
    assert issubclass(DecodeError, StreamTasksError)
    assert issubclass(PayloadTooLarge, InvalidTask)
