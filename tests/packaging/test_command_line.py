"""The command line starts quickly: what it does not need is not imported. `benchmarks/startup.py` measures it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from streamtasks.schedules import occurrences
from streamtasks_workers.cli import schedules

SCRIPT = """
import sys
from contextlib import suppress
from importlib.metadata import entry_points

command, *sys.argv[1:] = {words!r}
[entry] = entry_points(group="console_scripts", name=command)
with suppress(SystemExit):
    entry.load()()
print(*sorted(sys.modules))
"""


@pytest.mark.parametrize(
    "words",
    ["streamtasks --help", "streamtasks --version", "streamtasks-worker --help"]
    + [
        f"streamtasks {command} --help"
        for command in (
            "bulk plan",
            "dashboard",
            "dead-letters replay",
            "demo",
            "health",
            "queues pause",
            "revoke",
            "schedules",
            "schedules create",
            "show",
            "status",
            "tasks",
            "token",
            "worker",
            "workers",
        )
    ],  # fmt: skip,
)
def test_help_imports_neither_the_engine_nor_a_framework(words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(words=words.split())], capture_output=True, text=True, check=True
    )
    shown, _, modules = done.stdout.rstrip().rpartition("\n")
    assert "streamtasks" in shown
    heavy = {"asyncio", "django", "redis", "rich", "streamtasks", "streamtasks_django.plugin"}
    assert heavy.intersection(modules.split()) == set()


def test_the_choices_of_misfire_are_those_of_the_engine() -> None:
    assert schedules.MISFIRES == occurrences.MISFIRES
