"""The app of the process tests in a worker that waits for its keeper for a shorter time than others."""

from __future__ import annotations

from streamtasks_workers.supervisor import keeper_link, supervisor
from tests.process.tasks.proc_app import app

__all__ = ["app"]

for _module, _name, _seconds in (
    (keeper_link, "SILENCE_S", 2.0),
    (supervisor, "SILENCE_S", 2.0),
    (supervisor, "SETTLE_S", 0.5),
    (supervisor, "LEAVE_S", 0.5),
):
    setattr(_module, _name, _seconds)
