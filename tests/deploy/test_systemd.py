"""The unit of a worker: systemd accepts it, its times fit, and its command runs a task."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_readme import running
from tests.support.example_project import run_a_task

UNIT = Path(__file__).parent.parent.parent / "deploy" / "systemd" / "streamtasks-worker.service"
PROGRAM = "/srv/mysite/venv/bin/streamtasks-worker"


def settings() -> dict[str, str]:
    """Return the lines of the unit; none of a name that is there twice."""
    pairs = re.findall(r"^([A-Z]\w+)=(.*)$", UNIT.read_text("utf-8"), re.MULTILINE)
    found = dict(pairs)
    assert len(found) == len(pairs)
    return found


def test_a_worker_is_killed_after_its_grace_period_only() -> None:
    unit = settings()
    found = re.search(r"--grace (\d+)", unit["ExecStart"])
    assert found
    assert int(unit["TimeoutStopSec"]) >= int(found[1]) + 10
    assert (unit["KillMode"], unit["KillSignal"]) == ("mixed", "SIGTERM")


@pytest.mark.parametrize("name", ["streamtasks-worker.service", "streamtasks-worker@.service"])
def test_systemd_accepts_it(name: str, tmp_path: Path) -> None:
    if not (analyze := shutil.which("systemd-analyze")):
        pytest.skip("needs systemd-analyze")
    text = UNIT.read_text("utf-8").replace(PROGRAM, sys.executable)
    text = text.replace("User=mysite", "User=root").replace("Group=mysite", "Group=root")
    path = tmp_path / name
    path.write_text(text)
    argument = str(path).replace("@.", "@1.")
    done = subprocess.run([analyze, "verify", argument], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


@pytest.mark.slow
def test_its_command_runs_a_task_and_stops(example_project: Path) -> None:
    program, _, options = settings()["ExecStart"].partition(" ")
    assert program == PROGRAM
    with running(example_project, f"streamtasks-worker {options}"):
        run_a_task(example_project)
