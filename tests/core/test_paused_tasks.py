"""Operators pause single tasks: their messages wait aside, and come back to their old places."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streamtasks import StoreSettings
from streamtasks.exceptions import InvalidTask
from streamtasks.protocol.message import Message
from streamtasks.protocol.shards import new_id
from streamtasks.protocol.wire import JSON, Wire
from streamtasks.stores.factory import open_store, open_supervisor_store
from streamtasks.stores.rules.task_names import task_of
from streamtasks.stores.types import Limit, NewMessage
from tests.support.manual_consumer import Consumer, outcome_of

TAGS = ("u0", "dj", "ha")
PATIENT: dict[str, Any] = {"timeout_s": 60.0, "enqueue_timeout_s": 60.0}
WIRES = [JSON, Wire("msgpack"), Wire(signing_keys=["k" * 32]), Wire("msgpack", signing_keys=["k" * 32])]


def new(task_id: str, task: str = "mail", queue: str = "default", wire: Wire = JSON, **more: Any) -> NewMessage:
    message = Message(id=task_id, task=task, queue=queue, args=[2**70] if task_id.startswith("large") else [])
    return NewMessage(task_id, queue, more.pop("priority", 0), message.encode(10_000, wire), **more)


@pytest.fixture
def store(store_url: str) -> Any:
    """One shard."""
    return open_store(StoreSettings(url=store_url, **PATIENT))


def pause(store: Any, task: str = "mail") -> bool:
    return bool(store.pause("", "ann", "provider is down", task))


def ids(child: Consumer, most: int = 100) -> list[str]:
    return [one.id for one in child.claim(most)]


def all_ids(child: Consumer, most: int) -> list[str]:
    found: list[str] = []
    for _ in range(60):
        found += ids(child, most)
    return found


@pytest.mark.parametrize("most", [1, 7, 100])
def test_a_paused_task_waits_and_others_go_on_in_their_order(store: Any, most: int) -> None:
    places = range(60)
    with Consumer(store, "w-1") as child:
        store.enqueue([new(f"m{n}", "mail" if n % 3 else "chart", priority=n % 2 * 5) for n in places])
        assert pause(store)
        assert not pause(store)
        assert store.pauses()[0][:1] + store.pauses()[0][2:] == ("", "ann", "provider is down", True, "mail")
        charts = [f"m{n}" for first in (1, 0) for n in places if n % 2 == first and not n % 3]
        assert all_ids(child, most) == charts
        store.enqueue([new("late"), new("later", "chart")])
        assert ids(child) == ["later"]
        [measured] = store.measures().queues
        assert measured[:3] == ("default", 41, len(charts) + 1)
        assert measured.oldest_ms == 0  # nothing that a worker could do
        assert store.resume("", "mail")
        assert not store.resume("", "mail")
        assert store.pauses() == []
        mails = [f"m{n}" for first in (1, 0) for n in places if n % 2 == first and n % 3]
        assert all_ids(child, most) == [*mails, "late"]


@pytest.mark.parametrize("wire", WIRES, ids=["json", "msgpack", "signed", "signed-msgpack"])
def test_the_name_is_read_in_what_producers_write(store: Any, wire: Wire) -> None:
    with Consumer(store, "w-1") as child:
        pause(store)
        name = "m" * 60
        pause(store, name)
        store.enqueue(
            [new("a", wire=wire), new("b", "mails", wire=wire), new("large", wire=wire), new("n", name, wire=wire)]
        )
        assert ids(child) == ["b"]
        store.resume("", name)
        assert ids(child) == ["n"]
    body = b"12345 " + new("a", "mail", wire=wire).envelope
    assert task_of(body) == "mail"
    assert [task_of(body[:end]) for end in range(len(body) - 30, len(body))]  # cut off anywhere, it raises nothing


@pytest.mark.parametrize(
    "envelope",
    [
        b'{"v":1,"id":"a","t":"mail","a":[],"k":{},"q":"default","p":0}',
        b"M\x86\xa1v\x01\xa2id\xa1a\xa1t\xa4mail\xa1a\x90\xa1k\x80\xa1q\xa7default\xa1p\x00",
    ],
    ids=["json", "msgpack"],
)
def test_the_name_is_read_in_what_an_older_release_wrote(store: Any, envelope: bytes) -> None:
    with Consumer(store, "w-1") as child:
        pause(store)
        store.enqueue([NewMessage("a", "default", 0, envelope), new("b", "mails")])
        assert ids(child) == ["b"]
    assert task_of(b"12345 " + envelope) == "mail"


def test_a_retry_a_delayed_and_a_revoked_call_wait_too(store: Any) -> None:
    with Consumer(store, "w-1") as child:
        store.enqueue([new("held")])
        [held] = child.claim()
        pause(store)
        store.enqueue([new("revoked", hears="0"), new("left", delay_ms=0)])
        child.settle(outcome_of(held, "RETRY"))
        assert ids(child) == []
        assert store.read(["held"])[0].state == "RETRY"
        store.revoke("revoked")
        assert store.read(["revoked"])[0].state == "REVOKED"
        store.resume("", "mail")
        assert sorted(ids(child)) == ["held", "left"]


def test_a_limited_task_waits_for_its_limit_again(store_url: str) -> None:
    """It holds no token: what shares the limit goes on, and nothing starts too early afterwards."""
    store: Any = open_store(StoreSettings(url=store_url, **PATIENT))
    limit = Limit("shared", 3_600_000_000)
    with Consumer(store, "w-1") as child:
        pause(store)
        store.enqueue([new("a", limit=limit)])
        assert admit(store) == (0 if store.settings.is_sql else 1)
        assert ids(child) == []
        store.resume("", "mail")
        assert store.read(["a"])[0].state == "LIMITED"
        assert ids(child) == []


def admit(store: Any) -> int:
    """Let what may start come to its stream; return how many messages did."""

    async def run() -> int:
        return (await open_supervisor_store(store.settings).admit("u0")).admitted

    return asyncio.run(run())


def test_a_pause_of_its_queue_holds_what_comes_back(store: Any) -> None:
    with Consumer(store, "w-1") as child:
        store.enqueue([new("a")])
        pause(store)
        assert ids(child) == []
        store.pause("default", "ann", "")
        store.resume("", "mail")
        assert ids(child) == []
        store.resume("default")
        assert ids(child) == ["a"]


def test_all_shards_are_paused_and_resumed_whole(store_url: str) -> None:
    store: Any = open_store(StoreSettings(url=store_url, tags=TAGS, **PATIENT))
    wanted = [new_id((tag,)) for tag in TAGS for _ in range(150)]
    for start in range(0, len(wanted), 100):
        store.enqueue([new(one, queue=f"q{number % 3}") for number, one in enumerate(wanted[start : start + 100])])
    pause(store)
    children = [Consumer(store, "w-1", tag) for tag in TAGS]
    assert [all_ids(child, 100) for child in children] == [[], [], []]
    assert store.resume("", "mail")
    assert store.pauses() == []
    assert sorted(one for child in children for one in all_ids(child, 100)) == sorted(wanted)


@pytest.mark.parametrize("name", ["a\nb", 'a"b', "a\\b", "ä", "x" * 201])
def test_names_that_no_server_can_find_are_refused(store: Any, name: str) -> None:
    with pytest.raises(InvalidTask, match="cannot be paused: its name must be"):
        pause(store, name)
