"""Do what the README says: run its code as it stands there; only the address of the server is replaced."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.support.child_path import python_path
from tests.support.waiting import wait_until

README = Path(__file__).parent.parent.parent / "README.md"
SETTINGS = README.parent / "docs" / "settings.md"
URL = "redis://127.0.0.1:6379/0"


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def block(first_line: str, url: str) -> str:
    """Return the Python block that begins with this comment, with the server's address put in."""
    found = [text for text in blocks("python") if text.startswith(f"# {first_line}\n")]
    assert len(found) == 1, first_line
    return found[0].replace(URL, url)


def commands() -> list[str]:
    """Return the commands that the README names."""
    return [line.removeprefix("$ ") for text in blocks("console") for line in text.splitlines()]


def environment() -> dict[str, str]:
    """Return the environment of a process that finds what this one imports, and its commands."""
    kept = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    kept["PYTHONPATH"] = python_path(sys.path)
    kept["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), kept["PATH"]))
    return kept


def run(directory: Path, *command: str) -> str:
    """Run a command to its end; return what it printed."""
    done = subprocess.run(
        command, cwd=directory, env=environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def running(directory: Path, command: str) -> Generator[None]:
    """Run a worker meanwhile; it must stop with 0."""
    log = directory / "worker.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(command.split(), cwd=directory, env=environment(), stdout=stream, stderr=stream)
    try:
        wait_until(lambda: b"children for" in log.read_bytes() or process.poll() is not None, "the worker starts")
        yield
    finally:
        process.terminate()
        assert process.wait(60) == 0, log.read_text()


def test_two_commands_set_up() -> None:
    first, second = commands()[:2]
    assert first == "pip install uv && uv run streamtasks demo"
    assert second == "pip install uv && uv run pytest"
    assert sum("install" in command for command in commands()) == 2


def test_django_quick_start(tmp_path: Path, embedded_url: str) -> None:
    run(tmp_path, "django-admin", "startproject", "mysite", ".")
    run(tmp_path, sys.executable, "manage.py", "startapp", "shop")
    settings = tmp_path / "mysite" / "settings.py"
    ours = 'INSTALLED_APPS += ["shop"]\n' + block("mysite/settings.py", embedded_url)
    settings.write_text(settings.read_text() + "\n" + ours)
    (tmp_path / "shop" / "tasks.py").write_text(block("shop/tasks.py", embedded_url))
    run(tmp_path, sys.executable, "manage.py", "check")
    (worker,) = [command for command in commands() if "streamtasks_worker" in command]
    with running(tmp_path, worker):
        printed = run(
            tmp_path, sys.executable, "manage.py", "shell", "-c", block("python manage.py shell", embedded_url)
        )
    assert printed.splitlines()[-2:] == ["SUCCESSFUL 5", "5"]


def test_plain_python_quick_start(tmp_path: Path, embedded_url: str) -> None:
    (tmp_path / "sums.py").write_text(block("sums.py", embedded_url))
    worker, enqueue = [command for command in commands() if "sums" in command]
    with running(tmp_path, worker):
        assert run(tmp_path, *enqueue.split()) == "5\n"


def test_every_python_block_is_tried() -> None:
    titles = [text.splitlines()[0] for text in blocks("python")]
    assert titles == ["# mysite/settings.py", "# shop/tasks.py", "# python manage.py shell", "# sums.py"]


def section(title: str, page: Path = README) -> str:
    """Return the text of a section."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def test_table_of_worker_options_is_complete() -> None:
    from dataclasses import fields

    from streamtasks_workers.cli.worker import worker_command
    from streamtasks_workers.process.options import WorkerOptions

    rows = re.findall(
        r"^\| `(--[a-z-]+)` \| `([A-Z_]+)` \| (?:`(\w+)`)? ?\|", section("Options of a worker", SETTINGS), re.MULTILINE
    )
    real = {
        (option.opts[0], str(option.envvar or option.name).removeprefix("STREAMTASKS_WORKER_").upper())
        for option in worker_command.params
        if option.opts[0] != "--version"
    }
    assert {(option, variable) for option, variable, _ in rows} == real
    known = {field.name for field in fields(WorkerOptions)}
    assert {setting for *_, setting in rows if setting} <= known


def test_table_of_backend_options_is_complete() -> None:
    from streamtasks_django.conf.options import OPTIONS

    ours = set(re.findall(r"^\| `(\w+)` \|", section("OPTIONS of the backend", SETTINGS), re.MULTILINE))
    assert ours == OPTIONS


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https:)([^)#]+)\)", README.read_text("utf-8"))
    assert links
    assert [link for link in links if not (README.parent / link).exists()] == []


def test_errors_named_exist() -> None:
    from django.tasks import exceptions as theirs

    from streamtasks import exceptions as ours

    named = set(re.findall(r"`([A-Z][a-z]+[A-Z]\w+)`", section("When something is wrong"))) - {"SystemExit"}
    builtin = {"TypeError", "ValueError"}
    assert {name for name in named - builtin if not hasattr(ours, name) and not hasattr(theirs, name)} == set()
