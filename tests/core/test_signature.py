"""Signatures: immutable calls that can be enqueued later."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from streamtasks.exceptions import DecodeError, InvalidTask
from streamtasks.stores.types import Limit
from streamtasks.tasks.signature import CallOptions, Signature
from streamtasks.tasks.signature_wire import decode_signature, encode_signature


def test_set_and_clone_return_another_signature() -> None:
    one = Signature("t.add", (1,), {"b": 2})
    other = one.set(queue="mail", countdown=3).clone([0], {"c": 3}, priority=5)
    assert (other.args, other.kwargs) == ((0, 1), {"b": 2, "c": 3})
    assert (other.options.queue, other.options.countdown, other.options.priority) == ("mail", 3, 5)
    assert (one.args, one.kwargs, one.options) == ((1,), {"b": 2}, CallOptions())
    with pytest.raises(FrozenInstanceError):
        one.task = "t.other"  # type: ignore[misc]
    assert other.set(eta=datetime(2030, 1, 1, tzinfo=UTC)).options.countdown is None
    assert repr(one) == "t.add.s(1, b=2)"
    assert repr(one.set(immutable=True)) == "t.add.si(1, b=2)"


def test_the_wire_form_comes_back_equal() -> None:
    when = datetime(2031, 2, 3, 4, 5, 6, 789_000, tzinfo=UTC)
    link = Signature("t.next", (1,)).set(task_id="n", link=Signature("t.last").set(task_id="l"))
    every: list[dict[str, Any]] = [
        {},
        {"queue": "q", "priority": -5, "task_id": "i", "eta": when, "expires": when, "headers": {"a": 1}},
        {"countdown": 1.5, "expires": 7, "max_retries": None, "default_retry_delay": 0},
        {"soft_time_limit": 1, "time_limit": 2.5, "max_retries": 0, "link": [link, link], "link_error": link},
    ]
    for options in every:
        one = Signature("t.add", (1, "x"), {"b": [2]}, limit=Limit("n", 10, 3)).set(**options)
        assert decode_signature(encode_signature(one)) == one, options


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"que": "x"}, "'que' is no option of a call. Did you mean 'queue'"),
        ({"queue": "no spaces"}, "no spaces"),
        ({"priority": 101}, "priority is 101"),
        ({"task_id": "x" * 65}, "cannot be a task's id"),
        ({"countdown": -1}, "countdown is -1"),
        ({"countdown": timedelta(seconds=-1)}, "countdown is"),
        ({"countdown": 1, "eta": datetime(2030, 1, 1, tzinfo=UTC)}, "countdown is 1 and eta is"),
        ({"eta": 5}, "eta is 5"),
        ({"expires": "soon"}, "expires is 'soon'"),
        ({"time_limit": 0}, "time_limit is 0"),
        ({"soft_time_limit": 5, "time_limit": 5}, "soft_time_limit is 5"),
        ({"max_retries": -1.5}, "max_retries is -1.5"),
        ({"max_retries": -1}, "max_retries is -1"),
        ({"default_retry_delay": -1}, "default_retry_delay is -1"),
        ({"headers": {1: 2}}, "headers is"),
        ({"retry": "yes"}, "retry is 'yes'"),
        ({"retry_policy": {"interval": 1}}, "retry_policy has the unknown key 'interval'"),
        ({"retry_policy": {"interval_max": -1}}, r"retry_policy\['interval_max'\] is -1"),
        ({"link": 5}, "link is 5; it must be a signature"),
        ({"link": ["an-id", "another"]}, "link is"),
        ({"link": "no spaces"}, "link: "),
        ({"link_error": "an-id"}, "link_error is 'an-id'"),
        ({"link": Signature("t.x").set(link="an-id")}, "link: .* it can follow only one"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidTask, match=named):
        Signature("t.add").set(**options)


def test_what_is_no_signature_is_refused() -> None:
    every: list[Any] = [
        None,
        [],
        {},
        {"task": "t", "args": [], "kwargs": {}},
        {**encode_signature(Signature("t")), "id": "a b"},
    ]
    for wire in every:
        with pytest.raises(DecodeError):
            decode_signature(wire)


def test_publish_retries_become_a_patience() -> None:
    def patience(**given: Any) -> float | None:
        return CallOptions.of(given).retry_time_s()

    assert patience() is None
    assert patience(retry=False) == 0
    assert patience(retry=True, retry_policy={"max_retries": None}) is None
    documented = {"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.2}
    assert patience(retry=True, retry_policy=documented) == pytest.approx(0.4)
    assert patience(retry_policy={"max_retries": 4, "interval_start": 1, "interval_step": 1, "interval_max": 3}) == 9
