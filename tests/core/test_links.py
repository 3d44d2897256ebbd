"""What follows an outcome: the messages that ``link`` and ``link_error`` become."""

from __future__ import annotations

from typing import Any

import pytest

from streamtasks import Message, State
from streamtasks.exceptions import DecodeError
from streamtasks.protocol.errors import describe
from streamtasks.stores.types import Limit
from streamtasks.tasks.signature import Signature
from streamtasks.tasks.signature_wire import encode_signature
from streamtasks.workflows.follow_ups import follow_ups


def wire(task: str, *args: Any, **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"task_id": f"id-of-{task}", "queue": "q", "priority": 3, **more.pop("options", {})}
    return encode_signature(Signature(task, args, **more).set(**given))


def parent(**more: Any) -> Message:
    message = Message(id="p", task="t.parent", queue="parents", priority=1, **more)
    return Message.decode(message.encode(10_000), task_id=message.id)  # as a worker has it


def test_a_success_is_followed_by_its_links_with_the_result_in_front() -> None:
    message = parent(links=[wire("t.one", "own"), wire("t.two", "own", immutable=True)], error_links=[wire("t.bad")])
    first, second = follow_ups(message, State.SUCCESS, {"a": [1]}, None)
    one = Message.decode(first.envelope, task_id=first.id)
    assert (one.task, one.args, one.parent_id, one.root_id) == ("t.one", [{"a": [1]}, "own"], "p", "p")
    assert (first.id, first.queue, first.priority) == ("id-of-t.one", "q", 3) == (one.id, one.queue, one.priority)
    assert Message.decode(second.envelope).args == ["own"]


@pytest.mark.parametrize("state", [State.FAILURE, State.DEAD, State.REVOKED, State.EXPIRED])
def test_a_final_failure_is_told_to_error_handlers_as_three_texts(state: State) -> None:
    message = parent(root_id="r", links=[wire("t.one")], error_links=[wire("t.bad", "own")])
    error = describe(ValueError("no good"))
    [only] = follow_ups(message, state, None, error)
    told = Message.decode(only.envelope)
    assert told.args == ["p", "no good", error["traceback"], "own"]
    assert (told.parent_id, told.root_id) == ("p", "r")
    [only] = follow_ups(message, state, None, None)
    assert Message.decode(only.envelope).args == ["p", f"Task p was {state.value.lower()}.", "", "own"]


@pytest.mark.parametrize("state", [State.IGNORED, State.RETRY])
def test_what_was_ignored_or_runs_again_is_followed_by_nothing(state: State) -> None:
    message = parent(links=[wire("t.one")], error_links=[wire("t.bad")])
    assert follow_ups(message, state, None, describe(ValueError())) == ()
    assert follow_ups(parent(), State.SUCCESS, 1, None) == ()


def test_all_that_was_said_of_a_link_travels() -> None:
    after = Signature("t.next").set(task_id="n")
    options = {
        "countdown": 5,
        "expires": 60,
        "max_retries": None,
        "default_retry_delay": 2,
        "soft_time_limit": 1,
        "time_limit": 2,
        "headers": {"user": 7},
        "link": after,
        "link_error": [after],
    }
    [only] = follow_ups(
        parent(links=[wire("t.one", limit=Limit("l", 100, 2), options=options)]), State.SUCCESS, 1, None
    )
    assert (only.delay_ms, only.due_ms, only.limit, only.after) == (5000, None, Limit("l", 100, 2), "")
    message = Message.decode(only.envelope)
    assert (message.expires_ms, message.expires_in_ms, only.expires_in_ms) == (0, 60_000, 60_000)
    assert (message.max_retries, message.retry_delay_s) == (-1, 2)
    assert (message.soft_limit_s, message.hard_limit_s, message.headers) == (1, 2, {"user": 7})
    assert message.links == message.error_links == [encode_signature(after)]


@pytest.mark.parametrize(
    "bad",
    [
        "text",
        [{"task": "t"}],
        [{**wire("t"), "args": "no list"}],
        [{**wire("t"), "limit": ["name", 0, 1]}],
        [{**wire("t"), "ok": [{"task": "t.without-the-rest"}]}],
        [{name: value for name, value in wire("t").items() if name != "id"}],
        [{**wire("t"), "priority": 1000}],
        [{**wire("t"), "r": {"max": "three"}}],
    ],
)
def test_an_envelope_with_links_that_are_none_is_refused(bad: Any) -> None:
    with pytest.raises(DecodeError):
        parent(links=bad)
