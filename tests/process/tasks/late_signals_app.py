"""The usual tasks, in a worker that gets stop signals while Python exits, when it has reset their handlers."""

from __future__ import annotations

import builtins
import os
import signal

from tests.process.tasks.proc_app import app

__all__ = ["app"]


class _Last:
    """Sends the signals when it is deleted."""

    def __init__(self) -> None:
        self._kill, self._pid = os.kill, os.getpid()
        self._numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def __del__(self) -> None:
        for number in self._numbers:
            self._kill(self._pid, number)


builtins.__dict__["_streamtasks_last"] = _Last()  # what is there is deleted last
