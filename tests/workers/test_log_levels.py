"""The levels of the loggers that a worker writes to, set in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

SET_UP = """
import logging, sys
from streamtasks_workers.process.logs import set_up_logs
before, after = sys.argv[1:]
logger = logging.getLogger("django.tasks")
if before:
    logger.setLevel(before)
set_up_logs("INFO")
if after:
    logger.setLevel(after)  # as a framework does when it is set up
set_up_logs("INFO")
print(logging.getLevelName(logger.level), logging.getLevelName(logging.getLogger("streamtasks").level))
"""


@pytest.mark.parametrize(
    ("before", "after", "level"),
    [("", "", "INFO"), ("", "WARNING", "WARNING"), ("ERROR", "", "ERROR"), ("", "NOTSET", "INFO")],
)
def test_a_level_of_the_project_wins(before: str, after: str, level: str) -> None:
    script = [sys.executable, "-c", SET_UP, before, after]
    assert subprocess.run(script, capture_output=True, text=True, check=True).stdout.split() == [level, "INFO"]
