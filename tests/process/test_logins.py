"""Workers log in again on connections that live, before a token ends: nothing is lost, nothing is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.process.tasks import proc_app, short_tokens
from tests.support.fake_sentinel import FakeSentinel
from tests.support.fleet import Fleet
from tests.support.short_lived_users import ShortLivedUsers
from tests.support.waiting import wait_until

PATIENT: dict[str, Any] = {"timeout_s": 60.0, "enqueue_timeout_s": 60.0}
HOLDS_S = 1.25  # connections log in again after a second
ROTATIONS = 3


@pytest.fixture
def server(own_server: Callable[..., EmbeddedServer]) -> EmbeddedServer:
    return own_server()


@pytest.fixture
def sentinel(server: EmbeddedServer) -> Iterator[str]:
    with FakeSentinel(server.port) as started:
        yield f"redis+sentinel://127.0.0.1:{started.port}/main"


@pytest.mark.parametrize(
    ("way", "executor"),
    [("server", ()), ("server", ("--async-concurrency", "8")), ("sentinel", ())],
    ids=["inline", "async", "sentinel"],
)
def test_a_worker_goes_on_over_several_tokens(
    open_fleet: Callable[[str], Fleet],
    server: EmbeddedServer,
    sentinel: str,
    tmp_path: Path,
    way: str,
    executor: tuple[str, ...],
) -> None:
    fleet = open_fleet(server.url)
    url = sentinel if way == "sentinel" else server.url
    with ShortLivedUsers([server.url], tmp_path / "token", HOLDS_S) as users:
        fleet.settings = {**PATIENT, "connection": {"credential_provider": "short_tokens.Tokens"}}
        tokens = short_tokens.Tokens(str(users.path))
        fleet.app = proc_app.make(url, connection={"credential_provider": tokens}, **PATIENT)
        environment = {short_tokens.FILE_VARIABLE: str(users.path), proc_app.URL_VARIABLE: url}
        worker = fleet.start("--concurrency", "2", *executor, environment=environment)
        fleet.wait_idle(2)
        waits = users.waits()
        results: list[Any] = []

        def works() -> bool:
            results.extend(fleet.many("add", [(1, 2)] * 5))
            assert results[-1].get(timeout=60) == 3
            return users.may_end()

        for rotation in range(ROTATIONS):  # it is idle during the first one
            users.begin()
            wait_until(works if rotation else users.may_end, "every connection that is waited on has logged in again")
            users.end()
            if not rotation:  # connections that wait were never made anew
                fleet.wait_idle(2)
                assert users.waits() == waits
        results.append(fleet.enqueue("add", 1, 2))
        assert results[-1].get(timeout=60) == 3
        fleet.wait_drained()
        assert fleet.totals() == {"SUCCESS": len(results)}
        assert len(fleet.record.executions()) == len(results)
        worker.terminate()
        assert worker.wait() == 0
        lines = [line for line in worker.log.splitlines() if "WARNING" in line or "ERROR" in line]
        assert not [line for line in lines if "appendonly" not in line]
