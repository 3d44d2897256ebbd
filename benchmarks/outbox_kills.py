"""Kill 100 producers around their commits while a worker relays their outbox.

Every task whose transaction was committed must have run once recorded, and none of a transaction or savepoint that was
rolled back. Two workers relay at once. Run: ``uv run python benchmarks/outbox_kills.py [KILLS] [postgres]``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.outbox_kills import kill_producers
from tests.support.postgres import Postgres


def main(kills: int, *, on_postgres: bool) -> None:
    began = time.time()
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer() as server, ExitStack() as stack:
        database = stack.enter_context(Postgres(durable=True)).database if on_postgres else None
        report = kill_producers(Path(folder), server.url, kills, 1, database)
    lost = [word for word in report.committed if report.ran[word] == 0]
    twice = [word for word, times in report.ran.items() if times > 1]
    wrong = [word for word in report.ran if word not in report.committed]
    print(
        f"{kills} kills, {len(report.committed)} committed, {sum(report.ran.values())} ran, {time.time() - began:.0f} s"
    )
    print(f"lost: {len(lost)}, more than once: {len(twice)}, rolled back and run: {len(wrong)}")
    sys.exit(bool(lost or twice or wrong))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100, on_postgres="postgres" in sys.argv)
