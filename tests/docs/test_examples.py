"""The examples do what they say: each is run by the commands in its first lines."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.docs.test_readme import environment, running
from tests.support.ports import free_port
from tests.support.waiting import wait_until

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
PRINTED = {
    "error_reporter.py": "2.0\nNone\nZeroDivisionError: 1 / 0\n",
    "plain_python.py": "5\n90\nindex.html, after 1 retry\nHello Ada\n",
    "schedule.py": "reminded Ada\nschedule.look fires every(0.5)\n",
    "workflow.py": "'to' stands there 4 times\nParentFailed: ",
}
OTHERS = {"serve.py"}


def commands(path: Path) -> list[str]:
    """Return the commands that the docstring of an example names."""
    return re.findall(r"^\$ (.*)$", path.read_text("utf-8").split('"""')[1], re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the examples."""
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    return Path(shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__")))


def run(folder: Path, command: str) -> str:
    """Run a command to its end; return what it printed."""
    words = [sys.executable if word == "python" else word for word in command.split()]
    done = subprocess.run(
        words, cwd=folder, env=environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_example_is_tried() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == PRINTED.keys() | OTHERS
    named = re.findall(r"^\| `([\w./]+)` \|", (EXAMPLES / "README.md").read_text("utf-8"), re.MULTILINE)
    assert set(named) == PRINTED.keys() | {"testing/", "django_project/"}


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_plain_python(name: str, folder: Path, embedded_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", embedded_url)
    worker, script = commands(folder / name)
    with running(folder, worker):
        assert run(folder, script).startswith(PRINTED[name])
    reports = re.findall(r"^REPORT .*$", (folder / "worker.log").read_text(), re.MULTILINE)
    expected = ["REPORT error_reporter.divide [1, 0] attempt 2: ZeroDivisionError('1 / 0')"]
    assert reports == (expected if name == "error_reporter.py" else [])


def test_pytest(folder: Path) -> None:
    assert commands(folder / "testing" / "test_orders.py") == ["pytest"]
    printed = run(folder / "testing", "python -m pytest -q -pno:cacheprovider -pno:hypothesispytest -pno:xdist")
    assert "1 passed" in printed


def test_a_server_for_the_examples(folder: Path) -> None:
    words = [sys.executable, "serve.py"]
    with subprocess.Popen(words, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert re.fullmatch(r"export REDIS_URL=redis://127\.0\.0\.1:\d+/0\n", process.stdout.readline())
        finally:
            process.terminate()
    assert process.returncode == 0


def test_django(folder: Path, embedded_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", embedded_url)
    project = folder / "django_project"
    worker, site = commands(project / "manage.py")
    run(project, "python manage.py check")
    port = free_port()
    assert site.endswith(" 8000")
    words = [sys.executable, *site.replace(" 8000", f" {port}").split()[1:]]
    with running(project, worker), (folder / "site.log").open("wb") as log:
        process = subprocess.Popen(words, cwd=project, env=environment(), stdout=log, stderr=log)
        try:
            base = f"http://127.0.0.1:{port}"
            wait_until(lambda: answers(f"{base}/tasks/unknown"), "the site answers")
            shown = get(f"{base}/orders/7/confirm")
            wait_until(lambda: get(base + shown["task"])["status"] == "SUCCESSFUL", "the task is done")
            assert get(base + shown["task"])["result"] == "order 7 is confirmed"
        finally:
            process.terminate()
            process.wait(60)


def get(url: str) -> dict[str, str]:
    """Return the JSON that a page shows."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        return dict(json.load(answer))


def answers(url: str) -> bool:
    """Whether a site answers, whatever it says."""
    try:
        urllib.request.urlopen(url, timeout=60)
    except urllib.error.HTTPError as error:
        with error:
            return error.code == 404
    except OSError:
        return False
    return True
