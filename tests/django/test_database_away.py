"""The database of the tasks goes away while they run, and comes back: before and after its worker is fenced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.mariadb import MariaDb, find_mariadb
from tests.support.postgres import Postgres, find_postgres
from tests.support.sql_project import COUNT, MANY, Project
from tests.support.waiting import DEADLINE_S, pass_time, wait_until

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.outage]

LEASE_S = 2.0

LONG = """\
import json, django
django.setup()
from shop.tasks import long
print(json.dumps(long.delay("a").id))
"""

SERVERS = [
    pytest.param(Postgres, id="postgres", marks=pytest.mark.skipif(find_postgres() is None, reason="no PostgreSQL")),
    *([pytest.param(MariaDb, id="mariadb")] if find_mariadb() else []),
]


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Generator[Postgres | MariaDb]:
    with request.param(durable=True) as started:
        yield started


def test_the_database_is_away_while_tasks_run(tmp_path: Path, server: Postgres | MariaDb) -> None:
    """Its server ends at once and comes back with its data: the same worker finishes everything, each once recorded."""
    project = Project(tmp_path, server.database)
    project.migrate()
    with project.worker() as process:
        log = tmp_path / "worker.log"
        assert len(project.use(MANY)) == 400
        wait_until(lambda: log.read_text().count("state=SUCCESSFUL") > 10, "tasks run")
        server.stop()
        wait_until(lambda: "does not answer" in log.read_text(), "the worker says that it is away")
        server.start()
        again = len(project.use(MANY))
        wait_until(lambda: log.read_text().count("state=SUCCESSFUL") >= 400 + again, "all have run", 3 * DEADLINE_S)
        wait_until(lambda: project.use(COUNT)[0] == 0, "all outcomes are recorded", 3 * DEADLINE_S, every_s=2.0)
        assert process.poll() is None
    outcomes = project.use(COUNT)[1]
    assert outcomes["SUCCESS"] == 400 + again, outcomes


@pytest.mark.parametrize(("fence_after_s", "runs"), [(LEASE_S, 2), (12 * LEASE_S, 1)], ids=["as the lease", "longer"])
def test_a_task_that_runs_while_the_database_is_away(
    tmp_path: Path, server: Postgres | MariaDb, fence_after_s: float, runs: int
) -> None:
    """It ends meanwhile. Within the fence its outcome is kept until the database is back; else it runs again."""
    project, log = Project(tmp_path, server.database, lease=LEASE_S), tmp_path / "worker.log"
    project.migrate()
    with project.worker("worker", "--fence-after", f"{fence_after_s:g}"):
        project.use(LONG)
        wait_until((tmp_path / "a.started").exists, "it runs")
        server.stop()
        if runs == 2:
            wait_until(lambda: "fenced: no renewal" in log.read_text(), "the worker is fenced")
        else:
            pass_time(3 * LEASE_S)  # its lease is over, but nobody else has it
        (tmp_path / "a.go").write_text("")
        if runs == 1:
            wait_until((tmp_path / "a.ended").exists, "it has ended, and nobody can be told")
        server.start()
        outcomes = project.wait_all_finished()
        assert outcomes["SUCCESS"] == 1
        assert len((tmp_path / "a.started").read_text()) == runs
        assert ("fenced: no renewal" in log.read_text()) == (runs == 2)
