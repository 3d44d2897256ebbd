"""Kill producers around their commits, and compare what was committed with what ran."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from tests.support.django_site import SITE, DjangoWorker, environment, manage
from tests.support.outbox_producer import MARKS
from tests.support.waiting import wait_until

MOST_LINES = 8


class Report(NamedTuple):
    """What was committed, and what ran: each word with how often."""

    committed: set[str]
    ran: Counter[str]


def kill_producers(folder: Path, url: str, kills: int, seed: int) -> Report:
    """Kill one producer after the other with SIGKILL, while a worker relays and runs; return what became of all."""
    database = folder / "database.sqlite3"
    more = {"CONTRACT_OUTBOX": "1", "CONTRACT_DATABASE": str(database)}
    manage("migrate", **more)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(MARKS)
        connection.commit()
    rng = random.Random(seed)
    producing = environment(CONTRACT_URL=url, CONTRACT_PREFIX="outbox:", **more)
    with DjangoWorker(folder, url, "outbox:", "--concurrency", "1", CONTRACT_OUTBOX="1") as worker:
        for number in range(kills):
            _kill_one(number, seed, rng, producing)
        committed = _words(database, "SELECT word FROM marks")
        wait_until(lambda: committed <= set(_ran(worker)), "all that was committed has run")
        wait_until(lambda: not _words(database, "SELECT task_id FROM streamtasks_outbox"), "the outbox is empty")
        time.sleep(0.5)  # for what should not run
        return Report(committed, Counter(_ran(worker)))


def _kill_one(number: int, seed: int, rng: random.Random, producing: dict[str, str]) -> None:
    command = [sys.executable, "-m", "tests.support.outbox_producer", str(number), str(seed)]
    environ = {**producing, "PYTHONPATH": f"{Path(__file__).parent.parent.parent}:{producing['PYTHONPATH']}"}
    with subprocess.Popen(command, cwd=SITE, env=environ, stdout=subprocess.PIPE) as producer:
        assert producer.stdout is not None
        for _ in range(rng.randint(1, MOST_LINES)):
            assert producer.stdout.readline(), "the producer has ended by itself"
        time.sleep(rng.random() * 0.005)  # about as long as a transaction
        producer.kill()


def _words(database: Path, query: str) -> set[str]:
    with closing(sqlite3.connect(database, timeout=60)) as connection:
        return {word for (word,) in connection.execute(query)}


def _ran(worker: DjangoWorker) -> list[str]:
    return [word for word in worker.noted() if isinstance(word, str)]
