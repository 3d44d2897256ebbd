"""A project whose tasks are in SQL: its tables, a real worker on them, transactions, and children that are killed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.mariadb import find_mariadb
from tests.support.sql_project import COUNT, MANY, Project, forked
from tests.support.sql_stores import sql_kinds
from tests.support.waiting import DEADLINE_S, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sql_stores import SqlStores

pytestmark = pytest.mark.slow

KINDS = list(dict.fromkeys([*sql_kinds(), *(["mariadb"] if find_mariadb() else [])]))
"""MariaDB, too, where there is one: the rest of the contract runs there by hand."""

SERVERS = [kind for kind in KINDS if kind != "sqlite"] or ["sqlite"]
"""What workers use in production, where there is one."""

USE = """\
import json, os, django
django.setup()
from django.db import transaction
from django.tasks import task_backends
from django.tasks.exceptions import TaskResultDoesNotExist
from shop.tasks import add, limited, third_time
from streamtasks.operations import control, inspect
from streamtasks_django import chain, group

with transaction.atomic():
    committed = add.delay(1, 1)
try:
    with transaction.atomic():
        rolled_back = add.delay(2, 2)
        raise KeyError
except KeyError:
    pass
def is_known(result):
    try:
        task_backends["default"].get_result(result.id)
    except TaskResultDoesNotExist:
        return False
    return True

with transaction.atomic():
    kept = add.delay(3, 3)
    try:
        with transaction.atomic():
            undone = add.delay(4, 4)
            raise KeyError
    except KeyError:
        pass
def states(owner):
    pages = [inspect.tasks(owner.store, owner.settings.wire, state, queue="quiet") for state in ("queued", "succeeded")]
    return [[view.id for view in page.tasks] for page in pages]

def paused():
    owner = task_backends["default"].owner
    control.pause(owner, "quiet", actor="ann", reason="test")
    waits = add.apply_async((1, 0), queue="quiet")
    add.delay(1, 1).get(timeout=60)
    before = states(owner) == [[waits.id], []]
    pauses = [(pause.queue, pause.actor) for pause in owner.store.pauses()]
    control.resume(owner, "quiet", actor="ben", reason="")
    waits.get(timeout=60)
    control.pause(owner, "", task="shop.tasks.third_time", actor="cy", reason="")
    paused = third_time.delay()
    add.delay(1, 1).get(timeout=60)
    before = before and paused.state == "QUEUED"
    control.resume(owner, "", task="shop.tasks.third_time", actor="cy", reason="")
    paused.get(timeout=60)
    audit = [(entry.operation, entry.actor) for entry in owner.store.audit_entries()]
    return [before, pauses, states(owner) == [[], [waits.id]], audit]

elsewhere = add.using(backend="mail").delay(5, 5)
print(json.dumps({
    "other_alias": [is_known(elsewhere), elsewhere.state, task_backends["mail"].get_statistics()["pending_tasks"]],
    "committed": committed.get(timeout=60),
    "rolled_back": is_known(rolled_back),
    "savepoint": [kept.get(timeout=60), is_known(undone)],
    "on_commit": add.delay_on_commit(5, 5).get(timeout=60),
    "retries": third_time.delay().get(timeout=60),
    "delayed": add.apply_async((2, 3), countdown=0.3).get(timeout=60),
    "limited": [one.get(timeout=60) for one in [limited.delay(n) for n in range(3)]],
    "group": group(add.s(n, n) for n in range(3)).apply_async().get(timeout=60),
    "chain": chain(add.s(1, 2), add.s(3)).apply_async().get(timeout=60),
    "paused": paused(),
}))
"""


BULK = """\
import json, django
django.setup()
from django.tasks import task_backends
from shop.tasks import short
from streamtasks.operations import bulk
from streamtasks.operations.filters import TaskFilter
backend = task_backends["default"]
by = {"actor": "ann", "reason": "test"}
for begin in range(0, 600, 100):
    backend.enqueue_many([(short, (number,), {}) for number in range(begin, begin + 100)])
planned = bulk.plan(backend.owner, "revoke", TaskFilter("queued", task="shop.tasks.short"), **by)
bulk.apply(backend.owner, planned.id, rate=60, **by)
print(json.dumps([planned.counts.total, len(planned.sample)]))
"""
FOUND = """\
import json, django
django.setup()
from django.tasks import task_backends
from streamtasks.operations import bulk
owner = task_backends["default"].owner
[found] = bulk.listed(owner)
audited = [one.operation for one in owner.store.audit_entries()]
print(json.dumps([found.state, found.counts.done, found.counts.applied, audited]))
"""


@pytest.fixture(params=KINDS)
def project(request: pytest.FixtureRequest, sql_stores: SqlStores, tmp_path: Path) -> Project:
    return Project(tmp_path, sql_stores.database(request.param))


def test_a_worker_runs_the_tasks_of_a_migrated_project(project: Project) -> None:
    refused = project.run("-m", "streamtasks_workers", status=2)
    assert "has no table" in refused
    assert "manage.py migrate" in refused
    assert "Traceback" not in refused
    found = project.run("-m", "django", "check", "--database", "default", "--fail-level", "WARNING", status=1)
    assert "W010" in found
    assert "has no table" in found
    assert project.run("-m", "django", "migrate", "--verbosity", "0", is_whole=True) == ""
    assert "nothing to make" in project.run("-m", "django", "streamtasks_tables")
    project.run("-m", "django", "check", "--database", "default", "--fail-level", "WARNING")
    with project.worker():
        assert project.use(USE) == {
            "other_alias": [False, "QUEUED", 1],
            "committed": 2,
            "rolled_back": False,
            "savepoint": [6, False],
            "on_commit": 10,
            "retries": 2,
            "delayed": 5,
            "limited": [0, 1, 2],
            "group": [0, 2, 4],
            "chain": 6,
            "paused": [
                True,
                [["quiet", "ann"]],
                True,
                [["resume", "cy"], ["pause", "cy"], ["resume", "ben"], ["pause", "ann"]],
            ],
        }
        if not project.hears:
            return  # there a worker hears of requests with its next beat
        [worker] = json.loads(project.run("-m", "django", "streamtasks", "workers", "list", "--json"))
        asked = project.run("-m", "django", "streamtasks", "workers", "drain", worker["name"], "--wait", "60")
        assert "drained: it runs nothing" in asked


@pytest.mark.parametrize("project", SERVERS, indirect=True)
def test_schedules_fire(project: Project) -> None:
    settings = project.folder / "shop_settings.py"
    settings.write_text(
        f"{settings.read_text()}\nfrom streamtasks_django.schedules import every\n"
        "TASK_SCHEDULE = {'again': {'task': 'shop.tasks.long', 'schedule': every(1), 'args': ['tick']}}\n"
    )
    (project.folder / "tick.go").write_text("")
    project.migrate()
    ticks = project.folder / "tick.ended"
    with project.worker():
        wait_until(lambda: ticks.exists() and len(ticks.read_text()) >= 3, "three occurrences have run")
    assert set(project.use(COUNT)[1]) == {"SUCCESS"}


@pytest.mark.parametrize("project", ["sqlite"], indirect=True)
def test_a_table_of_somebody_else_is_refused(project: Project) -> None:
    """First it is that of a model; then nobody has such a model any more, and its table is still there."""
    models, table = project.folder / "shop/models.py", f"{project.table}_message"
    models.write_text(
        "from django.db import models\n\nclass Note(models.Model):\n"
        f"    class Meta:\n        db_table = '{table}'\n        app_label = 'shop'\n"
    )
    found = project.run("-m", "django", "check", status=1)
    assert f"uses the table {table}, which is that of shop.Note" in found
    project.run("-m", "django", "migrate", "--run-syncdb", "--verbosity", "0", "--skip-checks")
    models.write_text("")
    found = project.run("-m", "django", "check", "--database", "default", "--fail-level", "WARNING", status=1)
    assert f"The table {table} of the database 'default' has no column" in found
    refused = project.run("-m", "streamtasks_workers", status=2)
    assert "Give the backend another table_name" in refused
    assert "Traceback" not in refused


@pytest.mark.parametrize(
    ("kind", "options", "level"),
    [
        ("postgres", {"options": "-c default_transaction_isolation=serializable"}, "SERIALIZABLE"),
        ("mariadb", {"isolation_level": None}, "REPEATABLE READ"),  # what the server has by default
    ],
)
def test_a_worker_does_not_start_on_transactions_that_do_not_fit(
    kind: str, options: dict[str, Any], level: str, sql_stores: SqlStores, tmp_path: Path
) -> None:
    if kind not in KINDS:
        pytest.skip(f"needs {kind}")
    database = sql_stores.database(kind)
    project = Project(tmp_path, {**database, "OPTIONS": {**database["OPTIONS"], **options}})
    project.migrate()
    project.run("-m", "django", "check", "--fail-level", "WARNING")
    found = project.run("-m", "django", "check", "--database", "default", "--fail-level", "WARNING", status=1)
    assert f"are {level}" in found
    refused = project.run("-m", "streamtasks_workers", status=2)
    assert f"are {level}, but DatabaseBackend needs READ COMMITTED" in refused
    assert "Traceback" not in refused


@pytest.mark.skipif("mariadb" not in KINDS, reason="needs MariaDB")
def test_an_isolation_level_of_the_settings_is_an_error_on_mariadb(sql_stores: SqlStores, tmp_path: Path) -> None:
    database = sql_stores.database("mariadb")
    project = Project(tmp_path, {**database, "OPTIONS": {"isolation_level": "repeatable read"}})
    found = project.run("-m", "django", "check", status=1)
    assert "streamtasks.E016" in found
    assert "are REPEATABLE READ, but DatabaseBackend needs READ COMMITTED" in found


@pytest.mark.parametrize("kind", SERVERS)
def test_killed_processes_lose_nothing_and_every_task_has_one_outcome(
    kind: str, sql_stores: SqlStores, tmp_path: Path
) -> None:
    """A child, a keeper, and a whole worker beside others."""
    project = Project(tmp_path, sql_stores.database(kind), lease=6)
    project.migrate()
    with project.worker("one", "--fence-after", "60") as one, project.worker("two", "--fence-after", "60"):
        doomed = project.start("three", "--fence-after", "60")
        assert len(project.use(MANY)) == 400
        forked(one.pid)[-1].kill()
        forked(one.pid)[0].kill()
        forked(doomed.pid)
        doomed.kill()
        doomed.wait()
        outcomes = project.wait_all_finished()
    assert outcomes["SUCCESS"] == 400
    assert set(outcomes) <= {"SUCCESS", "CRASH", "RETRY"}


@pytest.mark.parametrize("project", SERVERS, indirect=True)
def test_a_bulk_operation_goes_on_after_its_keeper_was_killed(project: Project) -> None:
    """A worker that runs none of the tasks applies it, and each counts once."""
    project.migrate()
    with project.worker("worker", "--queues", "other") as process:
        keeper = forked(process.pid)[0]
        assert project.use(BULK) == [600, 10]
        wait_until(lambda: project.use(FOUND)[1] > 0, "it has begun")
        keeper.kill()
        assert project.use(FOUND)[1] < 600
        found = wait_until(lambda: (now := project.use(FOUND))[0] == "FINISHED" and now, "it is done", 3 * DEADLINE_S)
    assert found == ["FINISHED", 600, 600, ["revoke finished", "revoke"]]
    assert project.use(COUNT) == [0, {"REVOKED": 600}]


@pytest.mark.parametrize("project", ["sqlite"], indirect=True)
def test_two_workers_share_a_file_of_sqlite(project: Project) -> None:
    project.run("-m", "django", "migrate", "--verbosity", "0")
    logs = [project.folder / f"{name}.log" for name in ("one", "two")]
    with project.worker("one"), project.worker("two"):
        wait_until(lambda: all("one of them writes at a time" in log.read_text() for log in logs), "both say so")
        project.use(MANY.replace("400", "120"))
        wait_until(lambda: project.use(COUNT) == [0, {"SUCCESS": 120}], "all have run", 3 * DEADLINE_S, every_s=0.5)
        assert sum(log.read_text().count("state=SUCCESSFUL") for log in logs) == 120
