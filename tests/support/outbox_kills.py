"""Kill producers around their commits, and compare what was committed with what ran."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from django.db import connections

from tests.support.django_site import SITE, DjangoWorker, environment, manage
from tests.support.outbox_producer import MARKS
from tests.support.sql_stores import add_database, set_up_django
from tests.support.waiting import wait_until

MOST_LINES = 8
ALIAS = "outbox_kills"


class Report(NamedTuple):
    """What was committed, and what ran: each word with how often."""

    committed: set[str]
    ran: Counter[str]


def kill_producers(
    folder: Path, url: str, kills: int, seed: int, database: dict[str, Any] | None = None, *, is_cluster: bool = False
) -> Report:
    """Kill one producer after the other with SIGKILL, while two workers relay and run; return what became of all.

    ``database``: an entry of DATABASES, of an empty database; None: a file of SQLite in the folder. ``is_cluster``: the
    URL is that of a node of a Cluster.
    """
    set_up_django()
    options = {"timeout": 60, "init_command": "PRAGMA journal_mode=WAL"}
    path = str(folder / "database.sqlite3")
    database = database or {"ENGINE": "django.db.backends.sqlite3", "NAME": path, "OPTIONS": options}
    more = {"CONTRACT_OUTBOX": "1", "CONTRACT_DATABASE": json.dumps(database)}
    if is_cluster:
        more["CONTRACT_CLUSTER"] = "1"
    manage("migrate", **more)
    connections.settings.pop(ALIAS, None)
    add_database(ALIAS, database)
    try:
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(MARKS)
        return _kill_all(folder, url, kills, seed, more)
    finally:
        connections[ALIAS].close()
        del connections[ALIAS]


def _kill_all(folder: Path, url: str, kills: int, seed: int, more: dict[str, str]) -> Report:
    rng = random.Random(seed)
    producing = environment(CONTRACT_URL=url, CONTRACT_PREFIX="outbox:", **more)
    folders = [folder / "one", folder / "two"]
    for one in folders:
        one.mkdir()
    first, second = (DjangoWorker(one, url, "outbox:", "--concurrency", "1", **more) for one in folders)
    with first, second:

        def ran() -> list[str]:
            return [word for worker in (first, second) for word in worker.noted() if isinstance(word, str)]

        for number in range(kills):
            _kill_one(number, seed, rng, producing)
        committed = _words("SELECT word FROM marks")
        wait_until(lambda: committed <= set(ran()), "all that was committed has run")
        wait_until(lambda: not _words("SELECT task_id FROM streamtasks_outbox"), "the outbox is empty")
        time.sleep(0.5)  # for what should not run
        return Report(committed, Counter(ran()))


def _kill_one(number: int, seed: int, rng: random.Random, producing: dict[str, str]) -> None:
    command = [sys.executable, "-m", "tests.support.outbox_producer", str(number), str(seed)]
    environ = {**producing, "PYTHONPATH": f"{Path(__file__).parent.parent.parent}:{producing['PYTHONPATH']}"}
    with subprocess.Popen(command, cwd=SITE, env=environ, stdout=subprocess.PIPE) as producer:
        assert producer.stdout is not None
        for _ in range(rng.randint(1, MOST_LINES)):
            assert producer.stdout.readline(), "the producer has ended by itself"
        time.sleep(rng.random() * 0.005)  # about as long as a transaction
        producer.kill()


def _words(query: str) -> set[str]:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(query)
        return {word for (word,) in cursor.fetchall()}
