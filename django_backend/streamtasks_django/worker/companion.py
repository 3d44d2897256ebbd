"""The process beside a worker's keeper: ``python -m streamtasks_django.worker.companion ALIAS TAGS WORKER PID``.

It copies results into the table of ``result_model``, see `mirror`. Code of the project and drivers of databases may
not run in a keeper, and a database that is away may not keep a child from running tasks.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

import django

from streamtasks.exceptions import StoreError
from streamtasks.stores.backoff import Backoff
from streamtasks_workers.process.lifeline import die_with_parent

if TYPE_CHECKING:
    from .mirror import ResultMirror

__all__ = ["main", "serve"]

POLL_S: Final = 1.0
"""How often it is asked whether something has finished, seconds."""

logger = logging.getLogger("streamtasks.worker")


def main(alias: str, tags: str, worker: str, keeper_pid: int) -> int:
    """Copy results of an alias until SIGTERM comes or the keeper ends; return the exit status.

    ``tags``: the shards that the worker serves; there may be more by now than in the settings.
    """
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())  # a keeper ignores it, and so would this process
    die_with_parent(keeper_pid)
    django.setup()
    from ..framework import task_backends
    from .mirror import ResultMirror

    backend: Any = task_backends[alias]
    backend.store_settings.follow_shards(tuple(tags.split(",")))
    backend.forget_settings()
    serve(ResultMirror(backend, f"{worker} {os.getpid()}"), alias, stop)
    return 0


def serve(mirror: ResultMirror, alias: str, stop: threading.Event) -> None:
    """Copy results until ``stop`` is set; log once when a server or the database goes away and when it is back."""
    from django.db import DatabaseError, InterfaceError, close_old_connections

    backoff, trouble = Backoff(0.5, 10.0), ""
    while not stop.is_set():
        close_old_connections()
        try:
            mirror.copy_all(stop.wait)
        except (DatabaseError, InterfaceError, StoreError) as error:
            if type(error).__name__ != trouble:
                remedy = "; have migrations been applied?" if type(error).__name__ in _NO_TABLE else ""
                logger.warning("results of %s cannot be copied now%s: %s", alias, remedy, error)
            trouble = type(error).__name__
            stop.wait(backoff.next_s())
            continue
        if trouble:
            logger.warning("results of %s are copied again", alias)
        trouble = ""
        backoff.reset()
        stop.wait(POLL_S)


_NO_TABLE: Final = ("OperationalError", "ProgrammingError")
"""How databases say that a table or a column is missing."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
