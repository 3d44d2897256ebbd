"""Put a worker together: load apps, settle their options, check their servers, run the root."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from streamtasks.application import Application

from .checks import check_server
from .loading import load
from .options import WorkerOptions
from .root import Root

__all__ = ["run_worker"]

logger = logging.getLogger("streamtasks.worker")


class _WithLease:
    """An app with another lease than its own settings say."""

    def __init__(self, app: Application, lease_s: float) -> None:
        self._app = app
        self.settings = replace(app.settings, lease_s=lease_s)

    def __getattr__(self, name: str) -> object:
        return getattr(self._app, name)


def run_worker(app: str | None, settings: str | None, backends: Sequence[str], options: WorkerOptions) -> int:
    """Run a worker until it is told to stop; return its exit status.

    Raises:
        ConfigurationError: an app, an option or a server is not as it must be.
    """
    served = []
    for found in load(app, settings, backends):
        its = options.over(found.worker_defaults)
        one: Application = found
        if its.lease_s is not None:
            one = _WithLease(found, its.lease_s)  # type: ignore[assignment]
        check_server(one.settings)
        served.append((one, its))
    grace_s = max(its.grace_s for _, its in served)
    return Root(served, grace_s).run()
