"""The worker that is measured: a process of its own, which reads pickled settings from its standard input.

They hold secrets, which neither the command line nor the environment of a process keeps to itself.
"""

from __future__ import annotations

import pickle
import sys

from ..process.options import WorkerOptions
from ..process.process_calls import notice_calls
from ..supervisor.supervisor import Supervisor
from .tasks import measured_app

if __name__ == "__main__":
    notice_calls()
    settings, children = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one
    app, _ = measured_app(settings)
    options = WorkerOptions(concurrency=children, grace_s=5.0)
    sys.exit(Supervisor([(app, options)], options.grace_s).run())
