"""``python -m streamtasks_workers.cli.worker_for_tests URL APP [OPTION...]``: the ``streamtasks-worker`` of a test.

It serves the app of the test on another server than the app's own; see `WorkerProcess`.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace

from streamtasks import StreamTasks

from ..app_loader import load
from ..plugins import plugin
from ..testing.worker_process import HANDED_OVER
from .worker import worker_command

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """Use the test's server, then be a worker.

    Args:
        arguments: the server's URL; ``module:attribute`` of an app, empty: what `HANDED_OVER` names; options.
    """
    url, path, *options = arguments
    if path:
        for app in load(path, None, ()):
            assert isinstance(app, StreamTasks)
            app.owner.use(replace(app.settings, url=url, connection={}))
        options += ["--app", path]
    else:
        plugin("django").move(json.loads(os.environ[HANDED_OVER]))
    worker_command(options, prog_name="streamtasks-worker")


if __name__ == "__main__":
    main(sys.argv[1:])
