"""Signed and encrypted messages between processes: nothing readable on the server, lies, migration, rotation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from streamtasks import State, chain, chord, group
from streamtasks.exceptions import NotAuthentic, TimeLimitExceeded
from streamtasks.protocol.message import split_body
from streamtasks.results import Result
from streamtasks.schedules import every
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.process.tasks import proc_app
from tests.support.fleet import Fleet
from tests.support.waiting import wait_until
from tests.support.worker_process import kill

KEY, OTHER = "the first secret, long enough to be one", "another secret, long enough to be one"
MARKER = "marker-4711"
WAYS: dict[str, dict[str, Any]] = {
    "signed": {"signing_keys": [KEY]},
    "encrypted": {"encryption_keys": [KEY], "compression": "gzip"},
}
each_way = pytest.mark.parametrize("way", WAYS)

OwnServer = Callable[..., EmbeddedServer]
OpenFleet = Callable[[str], Fleet]


def client_of(fleet: Fleet) -> Any:
    """Return a client that leaves bytes as they are."""
    return redis.Redis.from_url(fleet.url)


def everything(client: Any) -> Iterator[bytes]:
    """Return all keys and values of a server."""
    for key in client.keys("*"):
        yield key
        kind = client.type(key)
        if kind == b"string":
            yield client.get(key)
        elif kind == b"hash":
            for pair in client.hgetall(key).items():
                yield from pair
        elif kind == b"zset":
            yield from client.zrange(key, 0, -1)
        elif kind == b"list":
            yield from client.lrange(key, 0, -1)
        elif kind == b"stream":
            for _, fields in client.xrange(key):
                for pair in fields.items():
                    yield from pair
        else:
            raise AssertionError(kind)


def readable(fleet: Fleet) -> list[bytes]:
    """Return what shows the marker on the server, packed or not."""
    with client_of(fleet) as client:
        return [one for one in everything(client) if MARKER.encode() in one]


def run_all_kinds(fleet: Fleet, *, hidden: bool) -> None:
    """Run what leaves something on the server: values, errors, progress, reports, workflows, schedules and more."""
    gate = fleet.gate()
    worker = fleet.start("--concurrency", "2")
    tasks = fleet.app.tasks
    back, fail = tasks["give_back"], tasks["fail"]
    shown = tasks["show_and_fail"].apply_async(
        (MARKER, gate.path), link_error=[back.si(MARKER)], headers={"customer": MARKER}
    )
    wait_until(lambda: fleet.app.get_result(shown.id).info == {"text": MARKER}, "the progress is readable")
    assert shown.state == State.PROGRESS
    assert not (hidden and readable(fleet))
    doomed = fleet.enqueue("print_and_nap", MARKER, 60)
    wait_until(lambda: fleet.record.of(doomed), "the other task runs")
    waiting = back.apply_async((MARKER,), countdown=3600)
    fleet.app.schedules.create("own", back.s(MARKER), every(1))
    fleet.app.schedules.pause("own")
    assert not (hidden and readable(fleet))
    kill(fleet.record.of(doomed)[0].pid)
    gate.open()
    with pytest.raises(ValueError, match=MARKER):
        shown.get(timeout=60)
    wait_until(fleet.app.dead_letters, "the crashed one becomes a dead letter")
    [letter] = fleet.app.dead_letters()
    assert (letter.reason, letter.message().args) == ("crashed", [MARKER, 60])
    later = fleet.enqueue("give_back_later", {"deep": [MARKER] * 300})
    body = chord([back.s({"n": number, "text": MARKER}) for number in range(3)], back.s()).apply_async()
    line = chain(back.s(MARKER), group(back.s(), back.s()), back.s()).apply_async()
    linked = back.apply_async((MARKER,), link=[back.s(), chain(back.s(), back.s())])
    assert later.get(timeout=60) == {"deep": [MARKER] * 300}
    assert body.get(timeout=60) == [{"n": number, "text": MARKER} for number in range(3)]
    assert line.get(timeout=60) == [MARKER, MARKER]
    assert linked.get(timeout=60) == MARKER
    wait_until(lambda: all(fleet.app.store.read(linked.children)), "the linked workflow has been started")
    assert [fleet.app.get_result(child).get(timeout=60) for child in linked.children] == [MARKER, MARKER]
    [snapshot] = fleet.app.store.read([later.id])
    assert snapshot is not None
    assert snapshot.reports[0]["error"]["message"] == "later"
    fleet.app.schedules.resume("own")
    wait_until(lambda: fleet.app.schedules.get("own").fired, "the schedule fires")
    fired = fleet.app.schedules.get("own").last_task_id
    assert fleet.app.get_result(fired).get(timeout=60) == MARKER
    fleet.app.schedules.delete("own")
    assert waiting.revoke()
    with pytest.raises(ValueError, match="x"):
        fail.enqueue("x").get(timeout=60)
    assert not re.search("refused|undecodable|not authentic", worker.log)


def test_nothing_can_be_read_on_the_server(own_server: OwnServer, open_fleet: OpenFleet) -> None:
    server = own_server(append_only=True)
    fleet = open_fleet(server.url)
    fleet.configure(**WAYS["encrypted"], require_signed=True, crash_limit=1, send_events=True)
    run_all_kinds(fleet, hidden=True)
    assert not readable(fleet)
    files = [file for file in server.directory.rglob("*") if file.is_file() and "appendonly" in str(file)]
    assert sum(MARKER.encode() in file.read_bytes() for file in files) == 0
    assert max(file.stat().st_size for file in files) > 10_000  # the commands are there
    assert KEY not in fleet.workers[0].log


def test_all_kinds_are_signed(fleet: Fleet) -> None:
    fleet.configure(**WAYS["signed"], require_signed=True, crash_limit=1)
    run_all_kinds(fleet, hidden=False)
    assert readable(fleet)  # what is only signed can be read


class Liar:
    """One who may write to the server and has no key."""

    def __init__(self, fleet: Fleet) -> None:
        self.client = client_of(fleet)
        self.keys = fleet.keys

    def envelope(self, task_id: str) -> bytes:
        return split_body(self.client.hget(self.keys.messages, task_id))[1]

    def put(self, task_id: str, envelope: bytes) -> None:
        self.client.hset(self.keys.messages, task_id, b"1 " + envelope)

    def move(self, task_id: str, queue: str) -> None:
        self.client.delete(self.keys.stream("0:from"))
        self.client.zrem(self.keys.ready, "0:from")
        name = f"0:{queue}"
        self.client.xadd(self.keys.stream(name), {"id": task_id})


@each_way
def test_messages_that_lie_become_dead_letters(fleet: Fleet, way: str) -> None:
    plain = fleet.app
    fleet.configure(**WAYS[way], require_signed=True, unknown_task_limit=1)
    foreign = proc_app.make(fleet.url, **{option: [OTHER] for option in WAYS[way] if option.endswith("keys")})
    liar = Liar(fleet)
    made = {name: fleet.enqueue("add", 1, 2) for name in ("changed", "truncated", "copied", "emptied")}
    moved = fleet.enqueue("add", 1, 2, queue="from")
    dear = fleet.enqueue("add", 1000, 2000)
    made["unsigned"] = plain.tasks["add"].enqueue(1, 2)
    made["unknown"] = foreign.tasks["add"].enqueue(1, 2)
    good = liar.envelope(made["changed"].id)
    liar.put(made["changed"].id, good[:-1] + bytes([good[-1] ^ 4]))
    liar.put(made["truncated"].id, good[:7])
    liar.put(made["copied"].id, liar.envelope(dear.id))
    liar.put(made["emptied"].id, b"")
    liar.move(moved.id, "default")
    worker = fleet.start("--concurrency", "2")
    neighbours = [fleet.enqueue("add", number, 1) for number in range(10)]
    assert [one.get(timeout=60) for one in neighbours] == list(range(1, 11))
    assert dear.get(timeout=60) == 3000
    wait_until(lambda: len(fleet.app.dead_letters()) == 7, lambda: f"seven dead letters: {fleet.app.dead_letters()}")
    reasons = {letter.id: letter.reason for letter in fleet.app.dead_letters()}
    kind = {"signed": "signing", "encrypted": "encryption"}[way]
    wrong = {"signed": "refused: wrong signature; ", "encrypted": "refused: wrong tag of the encryption; "}[way]
    for name, reason in {
        "unsigned": "refused: unsigned; give its writer signing_keys",
        "changed": wrong + "it was changed or moved on the server",
        "copied": wrong,
        "truncated": "refused: truncated; ",
        "emptied": "refused: unsigned; ",
        "unknown": f"undecodable: unknown {kind} key ",
    }.items():
        assert reasons[made[name].id].startswith(reason), name
    for lie in made.values():
        assert fleet.record.of(lie) == []
    assert fleet.totals()["DEAD"] == 7
    assert fleet.record.of(moved) == []
    assert reasons[moved.id].startswith("refused: moved to another queue: find out who may write to the server")
    assert KEY not in worker.log
    with pytest.raises(NotAuthentic):
        fleet.app.get_result(made["unsigned"].id).get(timeout=60)


@each_way
def test_results_that_lie_are_refused(fleet: Fleet, way: str) -> None:
    fleet.configure(**WAYS[way], require_signed=True)
    fleet.start("--concurrency", "1")
    one, two = fleet.enqueue("add", 1, 2), fleet.enqueue("add", 3, 4)
    assert (one.get(timeout=60), two.get(timeout=60)) == (3, 7)
    client = client_of(fleet)

    def parts(result: Result[Any]) -> tuple[list[bytes], bytes, bytes]:
        head, _, rest = client.get(fleet.keys.record(result.id)).partition(b"\n")
        words = head.split(b" ")
        return words, rest[: int(words[-2])], rest[int(words[-2]) :]

    words, body, good = parts(one)
    _, _, other = parts(two)
    for forged in (other, b'{"r":1000000}', good[:-1], b""):
        words[-1] = b"%d" % len(forged)
        client.set(fleet.keys.record(one.id), b" ".join(words) + b"\n" + body + forged)
        with pytest.raises(NotAuthentic):
            fleet.app.get_result(one.id).get(timeout=60)


def test_hooks_of_an_end_that_no_child_has_seen(fleet: Fleet) -> None:
    """A script of the server, which has no key, writes the message that calls them."""
    settings = {**WAYS["encrypted"], "require_signed": True}
    fleet.configure(**settings)
    fleet.app = proc_app.make_hooked(fleet.url, **settings)
    fleet.start("--concurrency", "1", app="proc_app:hooked")
    limited = fleet.enqueue("limited", 60)
    with pytest.raises(TimeLimitExceeded):
        limited.get(timeout=60)
    wait_until(lambda: f"H {limited.id}" in fleet.record.path.read_text(), "its hooks are called")
    again = fleet.enqueue("told_again", 60)
    wait_until(lambda: f"H {again.id} " in fleet.record.path.read_text(), "the hook of a retry is called")
    fleet.wait_drained()
    assert fleet.app.dead_letters() == []


@pytest.mark.slow
@pytest.mark.parametrize("option", ["signing_keys", "encryption_keys"])
def test_a_rolling_migration_with_work_under_way(fleet: Fleet, option: str) -> None:
    """No key, a key, required, then another key: producers and workers of two steps run side by side."""
    steps: list[dict[str, Any]] = [
        {},
        {option: [KEY], "encrypt": option == "signing_keys"},  # for encryption: everybody can read, nobody writes yet
        {option: [KEY]},
        {option: [KEY], "require_signed": True},
        {option: [KEY, OTHER], "require_signed": True},
        {option: [OTHER, KEY], "require_signed": True},
        {option: [OTHER], "require_signed": True},
    ]
    before, old = fleet.app, fleet.start("--concurrency", "1")
    for place, step in enumerate(steps):
        fleet.settings = {}
        fleet.configure(**step)
        new = fleet.start("--concurrency", "1")
        values = [[place, number, at] for number in range(20) for at in range(2)]
        sent = [(before, fleet.app)[value[2]].tasks["give_back_later"].enqueue(value) for value in values]
        assert [fleet.app.get_result(one.id).get(timeout=60) for one in sent] == values
        old.terminate()
        assert old.wait() == 0
        old, before = new, fleet.app
    assert fleet.app.dead_letters() == []
