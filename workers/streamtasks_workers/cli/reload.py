"""``--reload``: run the worker in a process of its own and start it again when a Python file changes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from streamtasks.exceptions import ConfigurationError

__all__ = ["run_reloading"]


def run_reloading() -> int:
    """Run the same command without ``--reload``, again after each change below the working directory.

    Raises:
        ConfigurationError: the library that watches files is not installed.
    """
    try:
        from watchfiles import PythonFilter, watch
    except ImportError as error:
        raise ConfigurationError("--reload needs the extra: pip install 'streamtasks[reload]'") from error
    command = [sys.executable, *(word for word in sys.orig_argv[1:] if word != "--reload")]
    environment = os.environ | {"STREAMTASKS_WORKER_RELOAD": "0"}
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    worker = subprocess.Popen(command, env=environment)
    for _ in watch(Path.cwd(), watch_filter=PythonFilter(), stop_event=stop, raise_interrupt=False):
        worker.send_signal(signal.SIGTERM)
        worker.wait()
        if stop.is_set():
            break
        worker = subprocess.Popen(command, env=environment)
    worker.send_signal(signal.SIGTERM)
    status = worker.wait()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # one that comes while this process exits must not change its status
    return status
