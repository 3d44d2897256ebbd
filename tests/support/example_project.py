"""The Django project of the examples, with a server: for what is to be run in a project."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.docs.test_readme import run

PROJECT = Path(__file__).parent.parent.parent / "examples" / "django_project"
USE = """
from shop.tasks import send_confirmation

print(send_confirmation.delay(7).get(timeout=60))
"""


@pytest.fixture
def example_project(tmp_path: Path, embedded_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project; REDIS_URL names an empty server."""
    monkeypatch.setenv("REDIS_URL", embedded_url)
    return Path(shutil.copytree(PROJECT, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__")))


def run_a_task(project: Path) -> None:
    """Enqueue a task in the project and wait for its result."""
    printed = run(project, sys.executable, "manage.py", "shell", "-c", USE)
    assert printed.splitlines()[-1] == "order 7 is confirmed"
