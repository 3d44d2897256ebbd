"""What kept log lines, and events while somebody watches, cost a drain of tasks that log nothing, or one line.

Run: python benchmarks/diagnosis_cost.py [--tasks 20000] [--rounds 3]; about 3 minutes on a quiet machine. It prints the
median of the tasks a second for each case and its ratio to the first; asked: nothing logged >= 0.98, watched >= 0.98.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from streamtasks import StreamTasks
from streamtasks.operations.events import EventWatch
from streamtasks_workers.testing.embedded import EmbeddedServer

APP = """
import logging, os
from streamtasks import StreamTasks

app = StreamTasks(os.environ["DIAGNOSIS_URL"], log_bytes=int(os.environ["DIAGNOSIS_BYTES"]))
logger = logging.getLogger("shop.quiet")
logger.propagate = False
logger.setLevel(logging.INFO)

@app.task(name="quiet")
def quiet(): ...

@app.task(name="line")
def line():
    logger.info("one line")
"""
CASES = {
    "nothing logged, log_bytes=0": ("quiet", 0, False),
    "nothing logged, log_bytes=65536": ("quiet", 65_536, False),
    "one line, log_bytes=0": ("line", 0, False),
    "one line, log_bytes=65536": ("line", 65_536, False),
    "nothing logged, log_bytes=0, events watched": ("quiet", 0, True),
}


def drain(url: str, folder: str, task: str, log_bytes: int, count: int, *, watched: bool) -> float:
    """Return how many tasks a second one child finishes."""
    app = StreamTasks(url, timeout_s=60.0)
    done_before = sum(app.store.statistics().outcomes.values())
    handle = app.task(name=task)(lambda: None)
    for start in range(0, count, 1000):
        handle.enqueue_many([() for _ in range(min(1000, count - start))])
    end = threading.Event()

    def watch() -> None:
        looks = EventWatch(app.store)
        while not end.wait(0.25):
            looks.look()

    if watched:
        app.store.watch_events()
        threading.Thread(target=watch, daemon=True).start()
    environment = os.environ | {"DIAGNOSIS_URL": url, "DIAGNOSIS_BYTES": str(log_bytes), "PYTHONPATH": folder}
    command = [sys.executable, "-m", "streamtasks_workers", "--app", "diagnosis_app:app", "--concurrency", "1"]
    worker = subprocess.Popen([*command, "--log-level", "WARNING"], env=environment)
    try:
        began, first = 0.0, 0
        while True:
            done = sum(app.store.statistics().outcomes.values()) - done_before
            if done and not began:
                began, first = time.monotonic(), done
            if done >= count:
                return (done - first) / (time.monotonic() - began)
            time.sleep(0.02)
    finally:
        end.set()
        worker.terminate()
        worker.wait()


def main() -> None:
    """Measure the cases by turns."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    speeds: dict[str, list[float]] = {name: [] for name in CASES}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "diagnosis_app.py").write_text(APP)
        for _ in range(given.rounds):
            for name, (task, log_bytes, watched) in CASES.items():
                with EmbeddedServer() as server:
                    speeds[name].append(drain(server.url, folder, task, log_bytes, given.tasks, watched=watched))
    base = {
        task: statistics.median(speeds[name]) for name, (task, size, seen) in CASES.items() if not size and not seen
    }
    for name, (task, _, _) in CASES.items():
        speed = statistics.median(speeds[name])
        print(f"{name}: {speed:,.0f}/s, {speed / base[task]:.2f} x")


if __name__ == "__main__":
    main()
