"""Keep the companion of an app running: a process for work of the project that belongs neither to a child nor here.

It has no messages in its hands, so nothing is lost when it dies, and it may wait for a database as long as it likes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import Final

from streamtasks.stores.backoff import Backoff

from .base import Role, ServedApp

__all__ = ["Companion"]

LOOK_S: Final = 1.0
STOP_S: Final = 5.0
"""How long it may take to end when the worker stops, seconds."""

logger = logging.getLogger("streamtasks.worker")


class Companion(Role):
    """The companion of one app. It gets the keeper's process id, and ends with it."""

    per_shard = False

    def __init__(self, app: ServedApp, tag: str = "") -> None:
        super().__init__(app, tag)
        self.interval_s = LOOK_S if app.companion else 3600.0
        self._process: asyncio.subprocess.Process | None = None
        self._backoff = Backoff(1.0, 30.0)

    async def run_once(self) -> float | None:
        """Start the companion if it does not run."""
        if not self.app.companion:
            return None
        if self._process is not None:
            if self._process.returncode is None:
                return None
            logger.error(
                "the companion of %s (pid %d) ended with status %d; another is started",
                self.app.label, self._process.pid, self._process.returncode,
            )  # fmt: skip
            self._process = None
            await asyncio.sleep(self._backoff.next_s())
        paths = os.pathsep.join(path for path in sys.path if path)
        command = [*self.app.companion, self.app.worker, str(os.getpid())]
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": paths}
        )
        return None

    async def leave(self) -> None:
        """Let it end what it does."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_S)
        except TimeoutError:
            logger.warning("the companion of %s did not end in %g s and is killed", self.app.label, STOP_S)
            self._process.kill()
            await self._process.wait()
