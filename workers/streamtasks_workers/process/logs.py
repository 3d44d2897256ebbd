"""Set up a worker's logs, where the project has not done so."""

from __future__ import annotations

import logging
import sys

__all__ = ["set_up_logs"]


def set_up_logs(level: str) -> None:
    """Give the loggers ``streamtasks`` and ``django.tasks`` a level, and the root logger a handler if it has none.

    Frameworks reset loggers when they are set up, so it is called before and after.
    """
    if not logging.getLogger().handlers:
        logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for name in ("streamtasks", "django.tasks"):
        logging.getLogger(name).setLevel(level)
