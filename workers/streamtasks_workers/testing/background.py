"""A thread that runs tasks in-process as they come: for development, where no worker process is wanted."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from streamtasks.stores.memory import MemoryServer

from .in_process import MOST_ATTEMPTS, InProcessWorker

__all__ = ["BackgroundWorker"]

logger = logging.getLogger("streamtasks.worker")


class BackgroundWorker:
    """Runs the tasks of an app on a daemon thread, which starts with the first task that is enqueued.

    The thread sleeps until a task or a schedule arrives, or until the next one is due. It ends with its process:
    tasks that are unfinished then are lost. A forked process gets a thread of its own.

    Args:
        server: where the tasks are.
        make: makes the worker, on the thread.
        name: the thread's.
    """

    def __init__(self, server: MemoryServer, make: Callable[[], InProcessWorker], name: str) -> None:
        self._server = server
        self._make = make
        self._name = name
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._news = threading.Event()
        self._stopping = False
        server.captures.append(lambda _: self.wake())
        server.listeners.append(lambda channel, *_: self.wake() if channel in ("control", "clock") else None)

    def wake(self) -> None:
        """Wake the thread, because there may be something to run; start it if it does not run."""
        self._news.set()
        if self._stopping or (self._thread is not None and self._thread.is_alive() and self._pid == os.getpid()):
            return
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end after the task that it runs, and wait for it. It does not start again."""
        self._stopping = True
        self._news.set()
        if self._thread is not None and self._pid == os.getpid():
            self._thread.join()

    def _run(self) -> None:
        worker = self._make()
        while not self._stopping:
            self._news.clear()
            try:
                ran = worker.run_ready(stop=lambda: self._stopping)
                wait_s = worker.next_wake_s()
            except Exception:
                logger.exception("the thread that runs tasks in memory met an error and goes on")
                ran, wait_s = [], 1.0
            if not self._stopping and len(ran) < MOST_ATTEMPTS // 2:  # else there may be more
                self._news.wait(wait_s)
