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

PATIENT: dict[str, Any] = {"timeout_s": 60.0, "enqueue_timeout_s": 60.0}
HOLDS_S = 1.25  # connections log in again after a second
ROTATIONS = 3


@pytest.fixture(params=["server", "sentinel"])
def fleet(
    request: pytest.FixtureRequest, own_server: Callable[..., EmbeddedServer], open_fleet: Callable[[str], Fleet]
) -> Iterator[Fleet]:
    server = own_server()
    if request.param == "server":
        yield open_fleet(server.url)
        return
    with FakeSentinel(server.port) as sentinel:
        yield open_fleet(f"redis+sentinel://127.0.0.1:{sentinel.port}/main")


@pytest.mark.parametrize("executor", ["inline", "async"])
def test_a_worker_goes_on_over_several_tokens(fleet: Fleet, tmp_path: Path, executor: str) -> None:
    port = fleet.client.connection_pool.get_master_address()[1] if "sentinel" in fleet.url else None
    url = fleet.url if port is None else f"redis://127.0.0.1:{port}/0"
    with ShortLivedUsers([url], tmp_path / "token", HOLDS_S) as users:
        fleet.settings = {**PATIENT, "connection": {"credential_provider": "short_tokens.Tokens"}}
        tokens = short_tokens.Tokens(str(users.path))
        fleet.app = proc_app.make(fleet.url, connection={"credential_provider": tokens}, **PATIENT)
        environment = {short_tokens.FILE_VARIABLE: str(users.path)}
        worker = fleet.start("--concurrency", "2", "--executor", executor, environment=environment)
        fleet.wait_idle(2)
        waits, results = users.waits(), []
        for rotation in range(ROTATIONS):
            users.begin()
            while not users.may_end():
                if rotation:  # it is idle in the first one
                    results += fleet.many("add", [(rotation, 1)] * 5)
                    assert results[-1].get(timeout=60) == rotation + 1
            users.end()
        assert fleet.enqueue("add", 1, 2).get(timeout=60) == 3
        fleet.wait_drained()
        fleet.wait_idle(2)
        assert users.waits() == waits  # they were never made anew
        assert fleet.totals() == {"SUCCESS": len(results) + 1}
        assert len(results) + 1 == len(fleet.record.executions())
        worker.terminate()
        assert worker.wait() == 0
        assert not [line for line in worker.log.splitlines() if "WARNING" in line or "ERROR" in line]
