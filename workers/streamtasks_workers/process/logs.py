"""Set up a worker's logs, where the project has not done so."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress

__all__ = ["contain_handlers", "set_up_logs"]

OWN = ("streamtasks.worker", "streamtasks.tasks")


def set_up_logs(level: str) -> None:
    """Give the loggers ``streamtasks`` and ``django.tasks`` a level, and the root logger a handler if it has none.

    Frameworks reset loggers when they are set up, so it is called before and after.
    """
    if not logging.getLogger().handlers:
        logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
        logging.getLogger().handlers[0].addFilter(_is_not_shown)
    for name in ("streamtasks", "django.tasks"):
        logging.getLogger(name).setLevel(level)


def contain_handlers() -> None:
    """Let no error of a log handler, which may be a task's, reach our code that logs."""
    for name in OWN:
        logger = logging.getLogger(name)
        vars(logger)["handle"] = _contained(logger.handle)


def _contained(handle: Callable[[logging.LogRecord], None]) -> Callable[[logging.LogRecord], None]:
    def contained(record: logging.LogRecord) -> None:
        try:
            handle(record)
        except BaseException as error:  # noqa: BLE001 - it belongs to the handler, and to no task
            with suppress(Exception):
                os.write(2, f"a log handler has raised {type(error).__name__} for: {record.getMessage()}\n".encode())

    return contained


def _is_not_shown(record: logging.LogRecord) -> bool:
    """Return whether no other handler writes a record to the terminal, as Django's does with DEBUG."""
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None and logger is not logging.root:
        if any(_writes(handler, record) for handler in logger.handlers):
            return False
        logger = logger.parent if logger.propagate else None
    return True


def _writes(handler: logging.Handler, record: logging.LogRecord) -> bool:
    to_terminal = isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stderr, sys.stdout)
    return to_terminal and record.levelno >= handler.level and bool(handler.filter(record))
