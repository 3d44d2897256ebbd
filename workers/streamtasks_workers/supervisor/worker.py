"""Assemble a worker: load apps, merge options, check servers, run the supervisor."""

from __future__ import annotations

import faulthandler
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from streamtasks.application import Application
from streamtasks.exceptions import ConfigurationError
from streamtasks.stores.factory import introduce, open_store

from ..app_loader import load
from ..monitor.listener import listen
from ..process.logs import set_up_logs
from ..process.options import WorkerOptions
from ..process.process_calls import notice_calls
from .banner import banner
from .supervisor import Supervisor

__all__ = ["run_worker"]

logger = logging.getLogger("streamtasks.worker")


class _WithLease:
    """An app with another lease than that of its settings."""

    def __init__(self, app: Application, lease_s: float) -> None:
        self._app = app
        self._lease_s = lease_s
        self.settings = replace(app.settings, lease_s=lease_s)

    def renew_settings(self) -> None:
        """See `Application.renew_settings`."""
        self._app.renew_settings()
        self.settings = replace(self._app.settings, lease_s=self._lease_s)

    def __getattr__(self, name: str) -> object:
        return getattr(self._app, name)


def run_worker(
    app: str | None, settings: str | None, backends: Sequence[str], given: Mapping[str, Any], log: tuple[str, str]
) -> int:
    """Run a worker until it is stopped; return its exit status.

    ``given``: options by their names in `WorkerOptions`; they win over an app's settings. ``log``: level and format.

    Raises:
        ConfigurationError: an app, an option or a server is wrong.
    """
    _open_standard_descriptors()
    notice_calls()
    served = []
    found_apps = load(app, settings, backends)
    set_up_logs(*log)
    for found in found_apps:
        its = WorkerOptions.merged(found.worker_defaults, given)
        one: Application = found
        if its.lease_s is not None:
            one = _WithLease(found, its.lease_s)  # type: ignore[assignment]
        for warning in open_store(one.settings).check():
            logger.warning("%s: %s", found.label, warning)
        one.settings.follow_shards()  # only now: what disagrees at the start is refused
        served.append((one, its))
    grace_s = max(its.grace_s for _, its in served)
    at = next(((its.metrics_host, its.metrics_port) for _, its in served if its.metrics_port), None)
    listener = None if at is None else listen(*at)
    with suppress(RuntimeError, ValueError, OSError):  # stderr may be closed
        faulthandler.enable()
    try:
        supervisor = Supervisor(served, grace_s, listener)
    except OSError as error:
        raise ConfigurationError(
            f"The worker cannot get its shared memory, locks or pipes: {error}. Is /dev/shm writable, and are "
            "there descriptors left?"
        ) from error
    if logger.isEnabledFor(logging.INFO):
        logger.info("%s", banner(supervisor.plan, [introduce(one.settings) for one, _ in served], grace_s))
    return supervisor.run()


def _open_standard_descriptors() -> None:
    """Open those of stdin, stdout and stderr that are closed, so that no pipe or socket of ours gets their numbers."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
