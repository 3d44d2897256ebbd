"""The mirror of results: every finished task has exactly one row, whatever ends the copying in between."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.failure_logs import show_log
from tests.support.result_project import ResultProject
from tests.support.servers import start_server
from tests.support.waiting import DEADLINE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDED = 300

ENQUEUE = f"""
from django.contrib.auth.models import User
from django.tasks import task_backends
user = User.objects.create_user("anna")
answer = {{
    "added": [tasks.add.delay(n, 1).id for n in range({ADDED})],
    "failed": tasks.fail.delay().id,
    "extra": tasks.add.apply_async((1, 2), category="mail", created_by=user.pk, note=[1]).id,
    "nobody": tasks.add.apply_async((1, 2), category="mail", created_by=99).id,
    "revoked": tasks.add.apply_async((1, 2), countdown=3600, priority=7).id,
}}
task_backends["default"].revoke(answer["revoked"])
"""

SECOND_MODEL = """
import os, sys
from django.conf import settings
from django.tasks import task_backends
from streamtasks_django.backends.redis import RedisBackend
from streamtasks_django.database.models import MirrorPosition, TaskResult
from streamtasks_django.worker import mirror
options = {**settings.TASKS["default"]["OPTIONS"], "result_model": "streamtasks_database.TaskResult"}
def other(name):
    return mirror.ResultMirror(RedisBackend("default", {"OPTIONS": options}), name)
def go_on(seconds):
    return False
mirror.BATCH = 100
"""


class Finished:
    """The project after its worker has ended, and the ids of its tasks."""

    def __init__(self, project: ResultProject, ids: dict[str, Any]) -> None:
        self.project = project
        self.ids = ids
        self.all_ids = sorted([*ids["added"], *(one for name, one in ids.items() if name != "added")])

    def rows(self, table: str) -> dict[str, dict[str, Any]]:
        """Return all rows of a table by id."""
        with sqlite3.connect(self.project.folder / "db.sqlite3", timeout=60) as database:
            database.row_factory = sqlite3.Row
            found = [dict(row) for row in database.execute(f"select * from {table}")]
        database.close()
        assert len({row["id"] for row in found}) == len(found)
        return {row["id"]: row for row in found}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    server = start_server("valkey")
    fields = ["category", "created_by", "note"]
    options = {"url": server.url, "result_model": "shop.CustomTaskResult", "extra_fields": fields}
    project = ResultProject(tmp_path_factory.mktemp("mirror"), options)
    project.migrate()
    made = Finished(project, project.run(ENQUEUE))
    log = project.folder / "worker.log"
    show_log("worker of the mirror", log)
    try:
        with log.open("ab") as out:
            worker = subprocess.Popen(
                [sys.executable, "-m", "django", "streamtasks_worker", "--concurrency", "2"],
                cwd=project.folder,
                env=project.environment,
                stdout=out,
                stderr=out,
            )
        try:
            table = "custom_task_results"
            wait_until(
                lambda: len(made.rows(table)) == len(made.all_ids),
                lambda: f"{len(made.all_ids)} rows, there are {len(made.rows(table))}",
                2 * DEADLINE_S,
                0.5,
            )
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(DEADLINE_S)
        yield made
    finally:
        server.stop()


def test_a_worker_copies_every_finished_task(finished: Finished) -> None:
    rows, ids = finished.rows("custom_task_results"), finished.ids
    assert sorted(rows) == finished.all_ids
    added = rows[ids["added"][5]]
    assert (added["status"], added["state"], added["result"], added["name"]) == (
        "SUCCESSFUL", "SUCCESS", "6", "shop.tasks.add",
    )  # fmt: skip
    assert (added["args"], added["queue"], added["category"]) == ("[5, 1]", "default", "")
    assert added["worker"]
    assert added["created_at"] <= added["started_at"] <= added["finished_at"]
    failed = rows[ids["failed"]]
    assert (failed["status"], failed["state"], failed["result"]) == ("FAILED", "FAILURE", None)
    assert "ValueError: nul" in failed["traceback"]
    extra = rows[ids["extra"]]
    assert (extra["category"], extra["created_by_id"]) == ("mail", 1)
    assert '"extra": {"note": [1]}' in extra["meta"]
    # There is no such user: the task has its row all the same.
    assert (rows[ids["nobody"]]["status"], rows[ids["nobody"]]["created_by_id"]) == ("SUCCESSFUL", None)
    revoked = rows[ids["revoked"]]
    assert (revoked["status"], revoked["state"], revoked["priority"]) == ("FAILED", "REVOKED", 7)


def test_a_copy_that_is_killed_has_not_happened_and_no_row_is_written_twice(finished: Finished) -> None:
    killed = """
first = mirror.write_rows
written = 0
def write_rows(*args):
    global written
    first(*args)
    written += 1
    if written == 2:
        os.kill(os.getpid(), 9)
mirror.write_rows = write_rows
other("first").copy_all(go_on)
"""
    project = finished.project
    assert project.status_of(SECOND_MODEL + killed) == -signal.SIGKILL
    before = len(finished.rows("streamtasks_results"))
    assert 0 < before < len(finished.all_ids)
    answer = project.run(
        f"""{SECOND_MODEL}
mirror.ACTIVE = mirror.timedelta(hours=1)
copied = other("second").copy_all(go_on)  # for all it knows the first one is still at it
mirror.ACTIVE = mirror.timedelta(0)
one, two = other("third"), other("fourth")
commit, lost = one._commit, []
def slow(known, position, found):
    lost.append(two.copy(one._store.tags[0]) is not None)  # it reads the same and is faster
    return commit(known, position, found)
one._commit = slow
raced = one.copy_all(go_on)
one._commit = commit
answer = [copied, lost, raced, one.copy_all(go_on), one.copy_all(go_on),
          MirrorPosition.objects.get(source__contains="streamtasks_database").version]"""
    )
    copied, lost, raced, rest, nothing, version = answer
    assert (copied, lost, raced, nothing) == (0, [True], 0, 0)
    assert before + rest < len(finished.all_ids)  # what the faster one copied is missing
    rows = finished.rows("streamtasks_results")
    assert sorted(rows) == finished.all_ids
    assert version == 2 + bool(rest)  # the first one's whole batch, the faster one's, and what was left
    assert rows[finished.ids["added"][5]]["result"] == "6"


def test_what_a_database_refuses_is_left_out_and_nothing_else() -> None:
    from streamtasks_django.tasks.row_values import without_unstorable

    row = {
        "id": "x",
        "traceback": "a\0b",
        "args": ["\0", {"\0": float("nan")}, "\ud800", 1.5, True, None, (1,)],
        "own": 3,
    }
    assert without_unstorable(row) == {
        "id": "x", "traceback": "a\ufffdb", "args": ["\ufffd", {"\ufffd": "nan"}, "?", 1.5, True, None, [1]],
    }  # fmt: skip
