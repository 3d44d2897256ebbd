"""End a child that its tasks have broken: its event loop cannot go on, or its descriptors were closed."""

from __future__ import annotations

import logging
import os
import time
from typing import Final, NoReturn

from streamtasks.stores.types import Outcome

from ..process.board import Board
from ..process.lifeline import Lifeline

__all__ = ["end_after_attempt", "end_broken"]

logger = logging.getLogger("streamtasks.worker")

NOT_WHOLE: Final = 71
"""Exit status of a child that tasks have broken."""

OTHERS_S: Final = 0.1
"""The thread that notices it first waits so long, seconds, for others to end and save their outcomes."""

LAST_S: Final = 0.5
"""The loop, which may notice it while no attempt ends, waits so long, seconds."""


def end_broken(error: BaseException, lifeline: Lifeline) -> NoReturn:
    """End this process by an error of its loop: what runs has crashed."""
    try:
        if not lifeline.is_whole():
            time.sleep(LAST_S)  # a thread whose task ends now saves its outcome and leaves
        logger.error("this process cannot go on; it ends", exc_info=error)
    finally:  # also without memory for a log line: a process that stays would hold its attempts for ever
        os._exit(NOT_WHOLE)


def end_after_attempt(board: Board, slot: int, outcome: Outcome, started_ns: int) -> NoReturn:
    """End this process, whose descriptors a task has closed. This outcome is safe; what else runs has crashed."""
    try:
        logger.error("descriptors of this process were closed while task %s ran in it; it ends", outcome.id)
        if not board.enforced(slot):
            board.finish(slot, outcome, started_ns)
        time.sleep(OTHERS_S)  # the task that did it may be about to end
    finally:
        os._exit(NOT_WHOLE)
