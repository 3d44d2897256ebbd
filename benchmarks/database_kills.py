"""Kill processes of two workers by SIGKILL while they run tasks in PostgreSQL.

Every task must have one recorded outcome, a success, and nothing may be left. Children, keepers and whole workers are
killed in turn; what has ended is started again. Run: ``uv run python benchmarks/database_kills.py [TASKS] [KILLS]``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from database import Side

from tests.support.postgres import Postgres

MOST_S = 240.0


class Workers:
    """Two workers, started again when they have been killed."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._running = [self._start(), self._start()]

    def _start(self) -> subprocess.Popen[bytes]:
        options = ["--backend", "default", "--concurrency", "2", "--log-level", "ERROR", "--fence-after", "5"]
        with (self._side.folder / "worker.log").open("ab") as log:
            command = [self._side.python, "-m", "streamtasks_workers", *options]
            return subprocess.Popen(
                command, cwd=self._side.folder, env=self._side.environment(), stdout=log, stderr=log
            )

    def kill(self, number: int) -> None:
        """Kill a child, a keeper or a whole worker."""
        worker = self._running[number % 2]
        forked: list[Any] = []
        while len(forked) < 3:  # its keeper, and two children
            forked = sorted(psutil.Process(worker.pid).children(), key=lambda one: (one.create_time(), one.pid))
            time.sleep(0.05)
        victim = (forked[-1], forked[0], None)[number % 3]
        if victim is not None:
            victim.kill()
            return
        worker.kill()
        worker.wait()
        self._running[number % 2] = self._start()

    def stop(self) -> list[int]:
        """End both; return their exit statuses."""
        for worker in self._running:
            worker.terminate()
        return [worker.wait(60) for worker in self._running]


def main(tasks: int, kills: int) -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, Postgres(durable=True) as server:
        side = Side(Path(folder), sys.executable, server, "ours")
        text = (side.folder / "bench_settings.py").read_text().replace('"OPTIONS": {}', '"OPTIONS": {"lease": 6}')
        (side.folder / "bench_settings.py").write_text(text)
        (side.folder / "shop/tasks.py").write_text(
            "import time\nfrom django.tasks import task\n\n"
            "@task\ndef add(a, b):\n    time.sleep(0.01)\n    return a + b\n"
        )
        side.enqueue_many(tasks)
        workers = Workers(side)
        done = "SELECT count(*) FROM streamtasks_record WHERE state = 'SUCCESS'"
        for number in range(kills):
            while side.value(done) < tasks * (number + 1) / (kills + 2):
                time.sleep(0.05)
            workers.kill(number)
        deadline = time.monotonic() + MOST_S
        while side.value("SELECT count(*) FROM streamtasks_message") and time.monotonic() < deadline:
            time.sleep(0.2)
        statuses = workers.stop()
        left = side.value("SELECT count(*) FROM streamtasks_message")
        recorded = side.value(done)
        settled = side.value("SELECT sum(number) FROM streamtasks_state WHERE name LIKE 'total:SUCCESS:%'")
        side.connection.close()
    print(f"{tasks} tasks, {kills} kills, {time.monotonic() - began:.0f} s; exit statuses of the workers {statuses}")
    print(f"successes {recorded:.0f}, outcomes recorded {settled:.0f}, lost {tasks - recorded:.0f}, left {left:.0f}")
    sys.exit(bool(left or recorded != tasks or settled != tasks))


if __name__ == "__main__":
    main(*(int(word) for word in (sys.argv[1:] + ["5000", "10"][len(sys.argv) - 1 :])[:2]))
