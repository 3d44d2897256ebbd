"""Kill 100 producers around their commits while a worker relays their outbox.

Every task whose transaction was committed must have run once recorded, and none of a transaction or savepoint that was
rolled back. Run: ``uv run python benchmarks/outbox_kills.py [KILLS]``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.outbox_kills import kill_producers


def main(kills: int) -> None:
    began = time.time()
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer() as server:
        report = kill_producers(Path(folder), server.url, kills, seed=1)
    lost = [word for word in report.committed if report.ran[word] == 0]
    twice = [word for word, times in report.ran.items() if times > 1]
    wrong = [word for word in report.ran if word not in report.committed]
    print(
        f"{kills} kills, {len(report.committed)} committed, {sum(report.ran.values())} ran, {time.time() - began:.0f} s"
    )
    print(f"lost: {len(lost)}, more than once: {len(twice)}, rolled back and run: {len(wrong)}")
    sys.exit(bool(lost or twice or wrong))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
