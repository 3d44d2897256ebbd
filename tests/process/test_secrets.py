"""Passwords of a server: no output shows one, and a worker goes on with a new one."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from streamtasks import StoreError, StreamTasks
from streamtasks.protocol.keys import Keys
from streamtasks.stores.redis.access import UserRole, rules
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.process.tasks import proc_app
from tests.support.fleet import Fleet
from tests.support.server_dump import dump
from tests.support.users import server_version
from tests.support.waiting import wait_until
from tests.support.worker_process import TASKS_DIRECTORY

OwnServer = Callable[..., EmbeddedServer]
OpenFleet = Callable[[str], Fleet]

SECRET = "canary-first"
OTHER = "canary-second"
CANARY = "canary"
PATIENT: dict[str, Any] = {"timeout_s": 60.0, "enqueue_timeout_s": 60.0}


def set_password(client: redis.Redis, password: str) -> None:
    """Give the user `app` this password and no other one, and close its connections."""
    words = rules(UserRole.WORKER, "streamtasks:", server_version(client))
    client.execute_command("ACL", "SETUSER", "app", "resetpass", "on", f">{password}", *words)
    client.execute_command("CLIENT", "KILL", "USER", "app")


@pytest.fixture
def admin(own_server: OwnServer) -> Iterator[redis.Redis]:
    server = own_server()
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        set_password(client, SECRET)
        yield client


def url_of(client: redis.Redis) -> str:
    return f"redis://127.0.0.1:{client.connection_pool.connection_kwargs['port']}/0"


def command_lines() -> str:
    """The command lines of this process and of all that it has started."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return "\n".join(Path(f"/proc/{one.pid}/cmdline").read_bytes().decode() for one in processes)


def last_beat(client: redis.Redis) -> float:
    rows: Any = client.zrange(Keys("streamtasks:", "u0").workers, 0, -1, withscores=True)
    return max((float(score) for _, score in rows), default=0.0)


@pytest.mark.parametrize("way", ["url", "options", "file"])
def test_no_output_shows_a_password(
    admin: redis.Redis, open_fleet: OpenFleet, tmp_path: Path, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = tmp_path / "password"
    secret.write_text(SECRET)
    options = {"options": {"password": SECRET}, "file": {"password_file": str(secret)}}.get(way)
    fleet = open_fleet(url_of(admin))
    fleet.configure(send_events=True, **PATIENT, **({"connection": {"username": "app", **options}} if options else {}))
    url = fleet.url if options else fleet.url.replace("://", f"://app:{SECRET}@")
    fleet.app = proc_app.make(url, **fleet.settings)
    environment = {proc_app.URL_VARIABLE: url}
    worker = fleet.start("--concurrency", "2", "--log-level", "DEBUG", environment=environment, anew=True)
    results = [fleet.enqueue("add", 1, 2), fleet.enqueue("fail", "no")]
    assert results[0].get(timeout=60) == 3
    with pytest.raises(Exception, match="no"):
        results[1].get(timeout=60)
    shown = [repr(one) for one in (fleet.app, fleet.app.settings, fleet.app.store, fleet.app.owner, *results)]
    shown += [command_lines(), str(dump(admin)), str(fleet.app.store.workers())]
    set_password(admin, OTHER)  # the worker is refused from now on
    wait_until(lambda: "refuses us" in worker.log or "password" in worker.log, "the worker says why it does nothing")
    try:
        fleet.app.store.enqueue([])
        fleet.enqueue("add", 1, 2)
    except StoreError as error:
        shown += [str(error), repr(error), *traceback.format_exception(error)]
    else:
        pytest.fail("a wrong password was accepted")
    worker.end()
    refused = fleet.worker(environment=environment)
    refused.spawn()
    assert refused.wait() == 2
    command = [str(Path(sys.executable).parent / "streamtasks"), "schedules", "--app", "proc_app:app", "list"]
    listed = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=TASKS_DIRECTORY,
        env=os.environ | environment | {proc_app.SETTINGS_VARIABLE: json.dumps(fleet.settings)},
    )
    assert "refuses us" in listed.stderr
    shown += [worker.log, refused.log, caplog.text, listed.stdout, listed.stderr]
    assert len(worker.log) > 500
    assert CANARY not in "\n".join(shown)


def test_the_check_is_none_that_sees_nothing(admin: redis.Redis) -> None:
    app = StreamTasks(url_of(admin).replace("://", f"://app:{SECRET}@"))
    assert CANARY in str(app.settings.url)
    process = subprocess.Popen([sys.executable, "-c", "input()", SECRET], stdin=subprocess.PIPE)
    try:
        assert CANARY in command_lines()
    finally:
        process.communicate()


def test_a_worker_goes_on_with_a_new_password(admin: redis.Redis, open_fleet: OpenFleet, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(SECRET)
    fleet = open_fleet(url_of(admin))
    fleet.configure(connection={"username": "app", "password_file": str(secret)}, **PATIENT)
    worker = fleet.start("--concurrency", "2")
    assert fleet.enqueue("add", 1, 2).get(timeout=60) == 3
    pids = worker.pids()
    set_password(admin, OTHER)  # first there, then here: for a moment the worker has the wrong one
    secret.write_text(OTHER)
    assert fleet.enqueue("add", 2, 2).get(timeout=60) == 4
    before = last_beat(admin)
    wait_until(lambda: last_beat(admin) > before, "the keeper beats again")
    assert worker.pids() == pids
    assert CANARY not in worker.log


def test_a_worker_whose_user_may_not_claim_says_so(admin: redis.Redis, open_fleet: OpenFleet) -> None:
    words = rules(UserRole.PRODUCER, "streamtasks:", server_version(admin))
    admin.execute_command("ACL", "SETUSER", "web", "on", f">{SECRET}", *words)
    fleet = open_fleet(url_of(admin))
    environment = {proc_app.URL_VARIABLE: fleet.url.replace("://", f"://web:{SECRET}@")}
    worker = fleet.worker("--concurrency", "1", environment=environment)
    worker.spawn()
    worker.wait_log("may not do what a worker does")  # once, when it starts
    worker.wait_log("Check user, password and ACL: `streamtasks acl --role worker`")
    assert worker.log.count("may not do what a worker does") == 1
    assert "NOPERM" in worker.log or "no permissions" in worker.log or "can't run" in worker.log
    set_password(admin, OTHER)
    admin.execute_command("ACL", "SETUSER", "web", *rules(UserRole.WORKER, "streamtasks:", server_version(admin)))
    fleet.configure(**PATIENT)
    assert fleet.enqueue("add", 1, 2).get(timeout=60) == 3  # it was trying all the time
