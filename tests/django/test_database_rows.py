"""DatabaseBackend writes the rows of results: the guide's database code as it stands, and what a database refuses."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.failure_logs import show_log
from tests.support.result_project import ResultProject
from tests.support.sql_stores import sql_kinds
from tests.support.waiting import DEADLINE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.support.sql_stores import SqlStores

pytestmark = pytest.mark.slow

DATABASE_BACKEND = "django.tasks.backends.database.DatabaseBackend"

ENQUEUE = """
from django.contrib.auth.models import User
from django.tasks import task_backends
user = User.objects.create_user("anna")
answer = {
    "added": tasks.add.delay(1, 2).id,
    "failed": tasks.fail.delay().id,
    "extra": tasks.add.apply_async((1, 2), priority=5, category="mail", %s=user.pk).id,
    "nobody": tasks.add.apply_async((1, 2), category="mail", %s=99).id,
    "revoked": tasks.add.apply_async((1, 2), countdown=3600, priority=7).id,
}
task_backends["default"].revoke(answer["revoked"])
"""

RESULTS = """
from datetime import datetime, timedelta
from django.tasks import task_backends
backend = task_backends["default"]
unfinished = backend.stores.plain.statistics().unfinished
answer = {one["id"]: one for one in backend.model.objects.values()} if not unfinished else {}
"""

CLEAN_UP = """
from datetime import datetime, timedelta
from django.tasks import task_backends
from django.tasks.models import TaskResult
backend = task_backends["default"]
old = TaskResult.objects.filter(date_created__lt=datetime.now() + timedelta(days=1)).count()
answer = [old, backend.cleanup_results(datetime.now() + timedelta(days=1)), backend.model.objects.count()]
"""


@contextmanager
def worker_of(project: ResultProject) -> Generator[None]:
    log = project.folder / "worker.log"
    show_log("worker", log)
    command = [sys.executable, "-m", "streamtasks_workers", "--backend", "default", "--concurrency", "1"]
    with log.open("ab") as out:
        worker = subprocess.Popen(command, cwd=project.folder, env=project.environment, stdout=out, stderr=out)
    try:
        yield
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(DEADLINE_S) == 0
    finally:
        worker.kill()
        worker.wait()


def rows_of(project: ResultProject, user: str) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    ids: dict[str, str] = project.run(ENQUEUE % (user, user))
    found: dict[str, dict[str, Any]] = {}
    with worker_of(project):

        def ended() -> bool:
            found.update(project.run(RESULTS))
            return bool(found)

        wait_until(ended, "all tasks have ended", 3 * DEADLINE_S, 0.5)
    assert sorted(found) == sorted(ids.values())  # there is a row as soon as there is an outcome
    return ids, found


@pytest.mark.parametrize("kind", sql_kinds())
def test_the_database_code_of_the_guide_runs_as_written(kind: str, sql_stores: SqlStores, tmp_path: Path) -> None:
    database = sql_stores.own_database(kind, "guide_rows")
    options = {"database_alias": "default"}
    project = ResultProject(tmp_path, options, "shop.backends.CustomDatabaseBackend", database)
    assert "custom_task_results" in project.migrate()
    ids, rows = rows_of(project, "user_id")
    added = rows[ids["added"]]
    assert (added["status"], added["state"], added["result"], added["args"]) == ("SUCCESSFUL", "SUCCESS", 3, [1, 2])
    assert added["worker"]
    assert added["created_at"] <= added["started_at"] <= added["finished_at"]
    extra = rows[ids["extra"]]
    assert (extra["priority"], extra["category"], extra["created_by_id"]) == (5, "mail", 1)
    assert (rows[ids["nobody"]]["status"], rows[ids["nobody"]]["created_by_id"]) == ("SUCCESSFUL", None)
    assert (rows[ids["revoked"]]["state"], rows[ids["revoked"]]["priority"]) == ("REVOKED", 7)
    assert "ValueError: nul" in rows[ids["failed"]]["traceback"]


@pytest.mark.parametrize("kind", sql_kinds()[:1])
def test_values_that_the_database_refuses_cost_no_outcome(kind: str, sql_stores: SqlStores, tmp_path: Path) -> None:
    database = sql_stores.own_database(kind, "refused_rows")
    options = {"result_model": "shop.CustomTaskResult", "extra_fields": ["category", "created_by"]}
    project = ResultProject(tmp_path, options, DATABASE_BACKEND, database)
    project.migrate()
    ids, rows = rows_of(project, "created_by")
    assert (rows[ids["extra"]]["category"], rows[ids["extra"]]["created_by_id"]) == ("mail", 1)
    assert (rows[ids["nobody"]]["status"], rows[ids["nobody"]]["created_by_id"]) == ("SUCCESSFUL", None)
    assert (rows[ids["failed"]]["state"], rows[ids["revoked"]]["state"]) == ("FAILURE", "REVOKED")
    log = (tmp_path / "worker.log").read_text()
    assert f"the row of task {ids['nobody']} is refused" in log


def test_without_options_the_rows_are_those_of_the_app(sql_stores: SqlStores, tmp_path: Path) -> None:
    project = ResultProject(tmp_path, {"extra_fields": ["category", "who"]}, DATABASE_BACKEND)
    refused = project.status_of("from streamtasks_workers.__main__ import main\nmain(['--backend', 'default'])")
    assert refused == 2
    project.migrate()
    ids, rows = rows_of(project, "who")
    assert rows[ids["added"]]["result"] == 3
    assert rows[ids["extra"]]["meta"]["extra"] == {"category": "mail", "who": 1}
    assert project.run(CLEAN_UP) == [5, 5, 0]
