"""Where the processes that tests start look for modules."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

__all__ = ["python_path"]

LEFT_OUT: Final = Path(__file__).parent / "left_out"


def python_path(paths: Iterable[str]) -> str:
    """Return a PYTHONPATH of these folders, without OpenTelemetry.

    redis-py imports its SDK wherever it is installed, as it is for the tests of traces, which are in one process. That
    takes a quarter of the time in which a worker starts, and the tests start hundreds.
    """
    return os.pathsep.join([str(LEFT_OUT), *filter(None, paths)])
