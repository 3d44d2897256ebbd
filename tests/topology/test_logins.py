"""A worker and producers of a Cluster log in again on connections that live, before a token ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.process.tasks import proc_app, short_tokens
from tests.support.fleet import Fleet
from tests.support.short_lived_users import ShortLivedUsers
from tests.support.waiting import DEADLINE_S, wait_until

if TYPE_CHECKING:
    from tests.support.servers import Cluster

pytestmark = pytest.mark.topology

PATIENT: dict[str, Any] = {"timeout_s": DEADLINE_S, "enqueue_timeout_s": DEADLINE_S}
HOLDS_S = 1.25
ROTATIONS = 3


@pytest.fixture
def fleet(cluster_url: str, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(cluster_url.replace("redis://", "redis+cluster://").removesuffix("/0"), tmp_path)
    yield made
    made.close()


def test_a_cluster_goes_on_over_several_tokens(cluster: Cluster, fleet: Fleet, tmp_path: Path) -> None:
    with ShortLivedUsers([node.url for node in cluster.nodes], tmp_path / "token", HOLDS_S) as users:
        fleet.settings = {**PATIENT, "connection": {"credential_provider": "short_tokens.Tokens"}}
        tokens = short_tokens.Tokens(str(users.path))
        fleet.app = proc_app.make(fleet.url, connection={"credential_provider": tokens}, **PATIENT)
        worker = fleet.start("--concurrency", "2", environment={short_tokens.FILE_VARIABLE: str(users.path)})
        results: list[Any] = []

        def works() -> bool:
            results.extend(fleet.many("add", [(1, 2)] * 32))
            assert [result.get(timeout=DEADLINE_S) for result in results[-32:]] == [3] * 32
            return users.may_end()

        for rotation in range(ROTATIONS):  # it is idle during the first one
            users.begin()
            wait_until(works if rotation else users.may_end, "every connection that is waited on has logged in again")
            users.end()
        results.append(fleet.enqueue("add", 1, 2))
        assert results[-1].get(timeout=DEADLINE_S) == 3
        assert len(fleet.record.executions()) == len(results)
        worker.terminate()
        assert worker.wait() == 0
        lines = [line for line in worker.log.splitlines() if "WARNING" in line or "ERROR" in line]
        assert not [line for line in lines if "appendonly" not in line]
