"""Set up a worker's logs, where the project has not done so."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

from streamtasks.protocol.printable import clean

from .log_formats import JSON, TEXT, JsonFormatter, TextFormatter
from .log_records import add_task_fields

__all__ = ["OWN", "contain_handlers", "set_up_logs"]

OWN: Final = ("streamtasks.worker", "streamtasks.tasks", "django.tasks", "django_tasks")
"""Loggers to which a child writes outside the task's own code."""


def set_up_logs(level: str, log_format: str = TEXT) -> None:
    """Give loggers a level, the root logger a handler if it has none, and records the fields of the task that runs.

    Frameworks reset loggers when they are set up, so it is called before and after.

    Args:
        level: of the loggers ``streamtasks`` and ``django.tasks`` unless the project has given them one, and of the
            root logger if its handler is ours.
        log_format: ``"text"``, or ``"json"``: then handlers of the project that write to the terminal write JSON, too.
    """
    root = logging.getLogger()
    if not root.handlers:
        handler: logging.Handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(TextFormatter())
        handler.addFilter(_is_not_shown)
        root.addHandler(handler)
    if isinstance(root.handlers[0].formatter, (TextFormatter, JsonFormatter)):  # the project has not set it up
        root.setLevel(level)
    for name in ("streamtasks", "django.tasks", "django_tasks"):
        logger = logging.getLogger(name)
        if logger.level in (logging.NOTSET, _given.get(name)):  # else the project has set it
            logger.setLevel(level)
            _given[name] = logger.level
    if log_format == JSON:
        for handler in _terminal_handlers():
            handler.setFormatter(JsonFormatter())
    add_task_fields()


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
                text = clean(record.getMessage())
                os.write(2, f"a log handler has raised {type(error).__name__} for: {text}\n".encode())

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
    return _is_terminal(handler) and record.levelno >= handler.level and bool(handler.filter(record))


def _is_terminal(handler: logging.Handler) -> bool:
    return isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stderr, sys.stdout)


def _terminal_handlers() -> Iterator[logging.Handler]:
    known = [logger for logger in logging.Logger.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    for logger in (logging.getLogger(), *known):
        yield from filter(_is_terminal, logger.handlers)


_given: Final[dict[str, int]] = {}
"""The levels that loggers have from here."""
