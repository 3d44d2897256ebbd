"""The app of the process tests in a worker whose keepers, or whose children too, cannot start."""

from __future__ import annotations

import os
from typing import Any, Final

from streamtasks_workers.supervisor import supervisor, worker_plan
from tests.process.tasks.proc_app import app

__all__ = ["BROKEN_VARIABLE", "app"]

BROKEN_VARIABLE: Final = "STREAMTASKS_TEST_BROKEN"


def _fail(*_: Any) -> int:
    raise RuntimeError(f"process {os.getpid()} cannot start")


for _name in os.environ.get(BROKEN_VARIABLE, "").split():
    setattr(worker_plan if _name == "run_child" else supervisor, _name, _fail)
