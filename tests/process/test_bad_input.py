"""What is wrong is refused with a clear error, or becomes a dead letter; the worker lives."""

from __future__ import annotations

import os
import socketserver
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from streamtasks import State, wait_for
from streamtasks.exceptions import InvalidTask
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.process.tasks import proc_app
from tests.process.test_executors import EXECUTORS, each_executor
from tests.support.fleet import Fleet
from tests.support.servers import has_waitaof
from tests.support.waiting import wait_until
from tests.support.worker_process import Worker

OwnServer = Callable[..., EmbeddedServer]
OpenFleet = Callable[[str], Fleet]


def _refused(fleet: Fleet, *options: str, **more: Any) -> str:
    """Start a worker that must refuse to run; return what it said."""
    worker = fleet.worker(*options, **more)
    worker.spawn()
    return _end_of_a_refused(worker)


def _end_of_a_refused(worker: Worker) -> str:
    assert worker.wait() == 2, worker.log
    assert "Traceback" not in worker.log
    return worker.log


# -- the server --------------------------------------------------------------------------------------


def test_a_wrong_password_is_refused(own_server: OwnServer, open_fleet: OpenFleet) -> None:
    server = own_server(extra_args=["--requirepass", "right"])
    fleet = open_fleet(f"redis://:wrong-one@127.0.0.1:{server.port}/0")
    said = _refused(fleet)
    assert f"127.0.0.1:{server.port}" in said
    assert "password" in said
    assert "wrong-one" not in said
    assert "password" in _refused(open_fleet(server.url))


@pytest.mark.parametrize(("level", "remedy"), [("replicated", "has no replicas"), ("aof", "CONFIG SET appendonly yes")])
def test_a_server_that_cannot_give_the_durability_is_refused(
    own_server: OwnServer, open_fleet: OpenFleet, level: str, remedy: str
) -> None:
    fleet = open_fleet(own_server().url)
    fleet.configure(durability=level)
    what = f"cannot give durability '{level}'"
    if level == "aof" and not has_waitaof(fleet.client):
        what, remedy = "has no WAITAOF, which durability 'aof' needs", "use Redis 7.2 or Valkey 8 or later"
    said = _refused(fleet)
    assert what in said
    assert remedy in said


def test_a_server_that_may_evict_is_refused_with_the_fix(own_server: OwnServer, open_fleet: OpenFleet) -> None:
    server = own_server(extra_args=["--maxmemory-policy", "allkeys-lru"])
    fleet = open_fleet(server.url)
    said = _refused(fleet)
    assert "allkeys-lru" in said
    assert "CONFIG SET maxmemory-policy noeviction" in said
    fleet.client.config_set("maxmemory-policy", "noeviction")
    fleet.start()


def test_a_user_without_dangerous_commands_is_served(own_server: OwnServer, open_fleet: OpenFleet) -> None:
    server = own_server(append_only=True)
    with redis.Redis.from_url(server.url) as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-@dangerous")
    fleet = open_fleet(server.url.replace("://", "://app:secret@"))
    worker = fleet.start("--concurrency", "1")
    assert fleet.enqueue("add", 1, 2).get(timeout=60) == 3
    assert "eviction policy and persistence could not be checked" in worker.log
    assert "+info" in worker.log
    assert "secret" not in worker.log


class _OldServer(socketserver.StreamRequestHandler):
    """Says in RESP that it is Redis 6.2."""

    def handle(self) -> None:
        while line := self.rfile.readline():
            words = []
            for _ in range(int(line[1:])):
                self.rfile.readline()
                words.append(self.rfile.readline().strip().upper())
            body = b"redis_version:6.2.14\r\nmaxmemory_policy:noeviction\r\n"
            self.wfile.write(b"$%d\r\n%s\r\n" % (len(body), body) if words[0] == b"INFO" else b"+OK\r\n")


@contextmanager
def _old_server() -> Generator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _OldServer) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"
        server.shutdown()


def test_a_server_that_is_too_old_is_refused(open_fleet: OpenFleet) -> None:
    with _old_server() as url:
        said = _refused(open_fleet(url))
    assert "6.2.14" in said
    assert "needs Redis 7.0" in said


# -- options -----------------------------------------------------------------------------------------


_WRONG: list[tuple[tuple[str, ...], str | None, str]] = [
    ((), "no_such_module:app", "no_such_module"),
    ((), "proc_app:nothing", "no StreamTasks app named 'nothing'"),
    ((), "proc_app:add", "no StreamTasks app named 'add'"),
    ((), None, "Nothing to serve"),
    (("--queues", "a", "--exclude-queues", "b"), "proc_app:app", "not both"),
    (("--queues", "a b"), "proc_app:app", "cannot be a queue's name"),
    (("--lease", "0.2"), "proc_app:app", "lease_s"),
    (("--grace", "-1"), "proc_app:app", "grace"),
    (("--concurrency", "-2"), "proc_app:app", "concurrency"),
    (("--threads", "5000"), "proc_app:app", "threads"),
    (("--concurrency", "many"), "proc_app:app", "many"),
    (("--no-such-option",), "proc_app:app", "no-such-option"),
]


@pytest.mark.parametrize("some", [_WRONG[at : at + 3] for at in range(0, len(_WRONG), 3)])
def test_wrong_options_are_refused(fleet: Fleet, some: list[tuple[tuple[str, ...], str | None, str]]) -> None:
    workers = [fleet.worker(*options, app=app) for options, app, _ in some]
    for worker in workers:  # beside each other: most of their time they import
        worker.spawn()
    for worker, (_, _, said) in zip(workers, some, strict=True):
        assert said in _end_of_a_refused(worker)


def test_queues_are_served_as_asked(fleet: Fleet) -> None:
    only = fleet.start("--concurrency", "1", "--queues", "a,b")
    but = fleet.start("--concurrency", "1", "--exclude-queues", "a,b")
    results = {queue: fleet.many("add", [(1, 1)] * 10, queue=queue) for queue in ("a", "b", "c", "default")}
    assert wait_for([r for some in results.values() for r in some], timeout=60)
    by_queue = {queue: {e.pid for r in some for e in fleet.record.of(r)} for queue, some in results.items()}
    assert by_queue["a"] | by_queue["b"] == set(only.pids().children)
    assert by_queue["c"] | by_queue["default"] == set(but.pids().children)
    # Each goes on to be served at once when both sleep.
    fleet.wait_idle(2)
    assert fleet.enqueue("add", 1, 2, queue="b").get(timeout=60) == 3
    assert fleet.enqueue("add", 1, 2, queue="d").get(timeout=60) == 3


def test_every_option_has_an_environment_variable(fleet: Fleet) -> None:
    environment = {
        "STREAMTASKS_WORKER_APP": "proc_app:app",
        "STREAMTASKS_WORKER_CONCURRENCY": "3",
        "STREAMTASKS_WORKER_QUEUES": "a,b",
        "STREAMTASKS_WORKER_LEASE": "7",
        "STREAMTASKS_WORKER_MAX_TASKS_PER_CHILD": "5",
        "STREAMTASKS_WORKER_GRACE": "3",
        "STREAMTASKS_WORKER_LOG_LEVEL": "DEBUG",
    }
    worker = fleet.start(app=None, environment=environment)
    wait_until(lambda: len(worker.pids().children) == 3, "three children")
    elsewhere = fleet.enqueue("add", 1, 2)
    assert wait_for(fleet.many("add", [(n, 1) for n in range(30)], queue="b"), timeout=60)
    assert elsewhere.state == State.QUEUED
    assert len({e.pid for e in fleet.record.executions()}) >= 6
    long = fleet.enqueue("nap", 120, queue="a")
    fleet.record.wait_started(long)
    score: Any = fleet.client.zrange(fleet.keys.leases, 0, -1, withscores=True)
    seconds: Any = fleet.client.time()
    assert max(at for _, at in score) / 1000 - seconds[0] <= 8.0
    assert " DEBUG " in worker.log
    excluding = fleet.start(environment={"STREAMTASKS_WORKER_EXCLUDE_QUEUES": "a,b"})
    assert elsewhere.get(timeout=60) == 3
    assert fleet.record.of(elsewhere)[0].pid in excluding.pids().children


# -- messages ----------------------------------------------------------------------------------------


def test_a_task_that_another_worker_knows_is_left_to_that_one(fleet: Fleet) -> None:
    """Two projects on one prefix, or an old worker that meets a new task during a roll-out: nothing is counted."""
    fleet.configure(unknown_task_delay_s=30.0, unknown_task_limit=3)
    old = fleet.start("--concurrency", "1", environment={proc_app.WITHOUT_VARIABLE: "add"})
    fleet.start("--concurrency", "1")
    wait_until(lambda: len(fleet.app.store.workers()) == 2, "both are registered")
    results = fleet.many("add", [(number, 1) for number in range(20)])
    assert [result.get(timeout=60) for result in results] == list(range(1, 21))
    left = [result.snapshot() for result in results]
    assert [(snapshot.attempts, snapshot.reports) for snapshot in left] == [(1, [])] * 20
    assert fleet.totals() == {"SUCCESS": 20}
    assert "is left to another worker" in old.log


def test_an_unknown_task_waits_and_becomes_a_dead_letter(fleet: Fleet) -> None:
    fleet.configure(unknown_task_delay_s=0.3, unknown_task_limit=3)
    fleet.start("--concurrency", "1")
    app = fleet.app
    result = app.enqueue([app.message("os.system", ["true"], {}, app.tasks["add"].options)])[0]
    assert wait_for([result], timeout=60)
    assert (result.state, result.attempts) == (State.DEAD, 3)
    with pytest.raises(InvalidTask, match=r"No task named 'os\.system'"):
        result.get(0)
    reports = result.snapshot().reports
    assert [report["kind"] for report in reports] == ["UNKNOWN", "UNKNOWN"]
    assert reports[1]["finished"] - reports[0]["finished"] >= 300
    letters: Any = fleet.client.xrange(fleet.keys.dead)
    [(_, letter)] = letters
    assert (letter["reason"], letter["id"]) == ("unknown task", result.id)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_garbage_becomes_dead_letters_and_harms_nobody(fleet: Fleet, executor: str) -> None:
    worker = fleet.start("--concurrency", "2", *EXECUTORS[executor])
    assert fleet.enqueue("add", 1, 1).get(timeout=60) == 2
    children = worker.pids().children
    stream = fleet.keys.stream("0:default")
    fleet.wait_idle(2)
    for _ in range(10):
        fleet.client.xadd(stream, {os.urandom(8): os.urandom(40), "more": os.urandom(3)})
    fleet.client.xadd(stream, {"id": os.urandom(30)})  # no such message: it has nothing to say
    results = fleet.many("add", [(n, 1) for n in range(50)])
    assert wait_for(results, timeout=60)
    wait_until(lambda: fleet.client.xlen(fleet.keys.dead) == 10, "ten dead letters")
    wait_until(lambda: fleet.client.xlen(stream) == 0, "the stream is empty")
    assert all(result.attempts == 1 for result in results)
    assert worker.pids().children == children


ENVELOPES: dict[str, Callable[[], bytes]] = {
    # No text of ours begins so: what begins as a sealed one may be that of a later release, and waits.
    "random bytes": lambda: b"1700000000000 \xff" + os.urandom(60),
    "no JSON object": lambda: b"1700000000000 [1,2]",
    "a later version": lambda: b'1700000000000 {"v":99,"id":"x","t":"add","a":[],"k":{},"q":"default","p":0}',
    "wrong types": lambda: b'1700000000000 {"v":1,"id":"x","t":5,"a":{},"k":[],"q":"default","p":"0"}',
    "half of it": lambda: b'1700000000000 {"v":1,"id":"x","t":"ad',
    "nothing at all": lambda: b"",
    "no time before it": lambda: os.urandom(60),
}


def test_envelopes_of_garbage_become_dead_letters(fleet: Fleet) -> None:
    worker = fleet.worker("--concurrency", "1")
    results = fleet.many("add", [(n, 1) for n in range(40)])
    bad = {results[place].id: ENVELOPES[kind]() for place, kind in enumerate(ENVELOPES, 7)}
    for task_id, body in bad.items():
        fleet.client.hset(fleet.keys.messages, task_id, body)
    worker.start()
    children = worker.pids().children
    assert wait_for([result for result in results if result.id not in bad], timeout=60), worker.log
    fleet.wait_drained()
    with redis.Redis.from_url(fleet.url) as raw:  # the letters hold the bytes as they were
        letters: Any = raw.xrange(fleet.keys.dead)
    assert {letter[b"id"].decode(): letter[b"message"] for _, letter in letters} == bad
    assert {letter[b"reason"] for _, letter in letters} == {b"undecodable"}
    assert fleet.totals() == {"SUCCESS": 33, "DEAD": 7}
    assert fleet.enqueue("add", 1, 2).get(timeout=60) == 3
    assert worker.pids().children == children


# -- tasks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["close_descriptors", "aclose_descriptors"])
@each_executor
def test_a_task_that_closes_every_descriptor_is_recorded_once(fleet: Fleet, executor: str, name: str) -> None:
    worker = fleet.start("--concurrency", "1", *EXECUTORS[executor])
    fleet.wait_idle(1)
    result = fleet.enqueue(name)
    if executor != "inline":  # where others run beside it, it would close the files of their records as well
        assert wait_for([result], timeout=60), worker.log
    after = fleet.many("add", [(n, 1) for n in range(20)])
    assert wait_for([result, *after], timeout=60), worker.log
    assert (result.get(0), len(fleet.record.of(result))) == ("closed", 1)
    assert [r.get(0) for r in after] == list(range(1, 21))


@pytest.mark.parametrize("executor", ["threads", "mixed"])
def test_a_task_that_closes_every_descriptor_costs_none_that_runs_beside_it_its_outcome(
    fleet: Fleet, executor: str
) -> None:
    fleet.configure(crash_delay_s=0.1)
    worker = fleet.start("--concurrency", "1", *EXECUTORS[executor])
    fleet.wait_idle(1)
    beside = fleet.many("nap", [(0.8,), (0.8,)])
    for one in beside:
        fleet.record.wait_started(one)
    # One after the other: they would close the files of each other's records as well.
    for _ in range(3):
        assert fleet.enqueue("close_descriptors").get(timeout=60) == "closed"
    assert wait_for(beside, timeout=60), worker.log
    for one in beside:  # one whose own file was closed in the middle of a write fails of that: it has its outcome
        assert one.state == State.SUCCESS or isinstance(one.result, OSError), one.traceback


def test_a_large_result_of_a_task_that_closed_every_descriptor_ends_as_a_crash(fleet: Fleet) -> None:
    fleet.configure(crash_delay_s=0.1)
    worker = fleet.start("--concurrency", "1", "--threads", "2")
    result = fleet.enqueue("close_descriptors", 100_000)
    assert wait_for([result], timeout=60), worker.log
    assert result.state == State.DEAD
    assert fleet.enqueue("add", 1, 2).get(timeout=60) == 3


def test_a_task_that_exhausts_its_memory_fails_alone(fleet: Fleet) -> None:
    worker = fleet.start("--concurrency", "1")
    assert fleet.enqueue("add", 1, 1).get(timeout=60) == 2
    children = worker.pids().children
    result = fleet.enqueue("exhaust_memory")
    after = fleet.many("add", [(n, 1) for n in range(20)])
    assert wait_for([result, *after], timeout=60)
    assert result.state == State.FAILURE
    with pytest.raises(MemoryError):
        result.get(0)
    assert worker.pids().children == children
