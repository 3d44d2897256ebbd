"""Kill 100 producers around their commits while a worker relays their outbox.

Every task whose transaction was committed must have run once recorded, and none of a transaction or savepoint that was
rolled back. Two workers relay at once. Run: ``uv run python benchmarks/outbox_kills.py [KILLS] [postgres] [cluster]``;
``cluster``: before a Redis Cluster of three masters. ``repeatable`` or ``serializable``: the isolation on
PostgreSQL.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.outbox_kills import kill_producers
from tests.support.postgres import Postgres
from tests.support.servers import Cluster

ISOLATION = {"repeatable": "repeatable read", "serializable": "serializable"}


def main(kills: int, words: list[str]) -> None:
    began, is_cluster = time.time(), "cluster" in words
    level = next((f"default_transaction_isolation={ISOLATION[word]}" for word in words if word in ISOLATION), None)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        server: Any = stack.enter_context(Cluster() if is_cluster else EmbeddedServer())
        database = None
        if "postgres" in words or level:
            database = stack.enter_context(Postgres(*([level] if level else []), durable=True)).database
        report = kill_producers(Path(folder), server.url, kills, 1, database, is_cluster=is_cluster)
    lost = [word for word in report.committed if report.ran[word] == 0]
    twice = [word for word, times in report.ran.items() if times > 1]
    wrong = [word for word in report.ran if word not in report.committed]
    print(
        f"{kills} kills, {len(report.committed)} committed, {sum(report.ran.values())} ran, {time.time() - began:.0f} s"
    )
    print(f"lost: {len(lost)}, more than once: {len(twice)}, rolled back and run: {len(wrong)}")
    sys.exit(bool(lost or twice or wrong))


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    main(numbers[0] if numbers else 100, sys.argv[1:])
