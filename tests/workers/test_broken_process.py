"""A process that shall end does end, whatever fails on the way: one that stays would hold its attempts for ever."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from streamtasks_workers.executor.started_pool import started_pool
from tests.support.waiting import DEADLINE_S

NO_MEMORY = """
import logging

def error(self, *args, **options):
    raise MemoryError

logging.Logger.error = logging.Logger.warning = logging.Logger.exception = error
"""
CALLS = {
    "end_broken": (
        (
            "from streamtasks_workers.executor.broken_process import end_broken\n"
            "class Life:\n    def is_whole(self): return True\n"
            "end_broken(MemoryError(), Life())"
        ),
        71,
    ),
    "end_after_attempt": (
        (
            "from types import SimpleNamespace\n"
            "from streamtasks_workers.executor.broken_process import end_after_attempt\n"
            "end_after_attempt(None, 0, SimpleNamespace(id='1'), 1)"
        ),
        71,
    ),
    "end_copy": (
        (
            "import os\nfrom streamtasks_workers.process.fork_guard import end_copy\n"
            "try:\n    end_copy(MemoryError())\nexcept MemoryError:\n    os._exit(99)"
        ),
        1,
    ),
    "fork": (
        (
            "import os\nfrom streamtasks_workers.process.last_error import LastError\n"
            "from streamtasks_workers.supervisor.forks import fork\n"
            "def shutdown():\n    raise MemoryError\n"
            "logging.shutdown = shutdown\n"
            "pid = fork(lambda: 7, int, LastError())\n"
            "os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
        ),
        7,
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_no_memory_for_a_log_line(name: str) -> None:
    code, status = CALLS[name]
    ended = subprocess.run(
        [sys.executable, "-c", f"{NO_MEMORY}\n{code}"], capture_output=True, timeout=DEADLINE_S, check=False
    )
    assert ended.returncode == status, ended.stderr


def test_a_pool_needs_no_new_thread_later(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = started_pool(3)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    together = threading.Barrier(3, timeout=DEADLINE_S)
    jobs = [pool.submit(together.wait) for _ in range(3)]
    assert sorted(job.result(DEADLINE_S) for job in jobs) == [0, 1, 2]
    monkeypatch.undo()
    pool.shutdown()
