"""The Dockerfile: its form, and its commands run in a temporary folder."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.compose import load
from tests.support.dockerfile import ROOT, Instruction, copied_files, is_ignored, stages

BUILD, IMAGE = stages()
PACKAGES = (
    "streamtasks",
    "workers/streamtasks_workers",
    "django_backend/streamtasks_django",
    "lua/streamtasks_lua",
)


def only(word: str) -> str:
    """Return the text of the one instruction of this word in the image's stage."""
    [found] = [instruction.text for instruction in IMAGE if instruction.word == word]
    return found


def test_images_are_pinned_and_the_same() -> None:
    bases = [stage[0].text.split()[0] for stage in (BUILD, IMAGE)]
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", bases[0])
    assert bases[0] == bases[1]


@pytest.mark.parametrize("stage", [BUILD, IMAGE], ids=["build", "image"])
def test_what_is_copied_is_there_and_not_ignored(stage: list[Instruction]) -> None:
    for instruction in (one for one in stage if one.word == "COPY"):
        *sources, _ = shlex.split(instruction.text)
        if sources[0] == "--from=build":
            assert any(sources[1] in one.text for one in BUILD if one.word == "RUN")
            continue
        assert [source for source in sources if not (ROOT / source).exists() or is_ignored(source)] == []


def test_everything_of_the_packages_is_copied_and_nothing_else() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    copied = set(copied_files())
    assert set(tracked) <= copied
    assert {name.split("/")[0] for name in copied} == {
        "LICENSE", "README.md", "django_backend", "lua", "pyproject.toml", "streamtasks", "workers"
    }  # fmt: skip
    for name in (
        ".git/config",
        ".env",
        "deploy/secrets/redis_password",
        "tests/conftest.py",
        "lua/x/__pycache__/a.pyc",
    ):
        assert is_ignored(name)


def test_it_runs_without_rights_and_stops_gracefully() -> None:
    user, _, group = only("USER").partition(":")
    assert int(user) >= 10_000  # by number: Kubernetes can see that it is not root
    assert int(group) >= 10_000
    assert only("STOPSIGNAL") == "SIGTERM"
    [command] = [instruction for instruction in IMAGE if instruction.word == "CMD"]
    assert command.exec_form == ["streamtasks-worker"]
    assert not [instruction for instruction in IMAGE if instruction.word in ("RUN", "ADD", "ENTRYPOINT", "EXPOSE")]


def test_what_compose_runs_is_in_the_image() -> None:
    programs = {service["command"][0] for service in load()["services"].values() if "build" in service}
    assert programs == {"streamtasks-worker", "gunicorn"}


@pytest.mark.slow
def test_the_build(tmp_path: Path) -> None:
    places = {folder: tmp_path / folder.strip("/").replace("/", "-") for folder in ("/src", "/wheels", "/opt/venv")}
    for name, target in copied_files().items():
        path = places["/src"] / target
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, path)
    # The image of Python has pip, the environment of the tests need not.
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "python"], check=True, timeout=120)
    foreign = ("PYTHONPATH", "VIRTUAL_ENV", "DJANGO_", "STREAMTASKS_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment |= {"PATH": f"{tmp_path}/python/bin:{environment['PATH']}", "PIP_RETRIES": "10"}
    for instruction in BUILD:
        if instruction.word == "RUN":
            command = instruction.text
            for folder, place in places.items():
                command = re.sub(rf"(?<![\w/.]){folder}\b", str(place), command)
            done = subprocess.run(
                ["sh", "-ec", command],
                cwd=places["/src"],
                env=environment,
                capture_output=True,
                text=True,
                timeout=250,
                check=False,
            )
            assert done.returncode == 0, (command, done.stdout, done.stderr)
    programs = places["/opt/venv"] / "bin"
    shutil.rmtree(tmp_path / "python")  # the next stage has another Python at its place; here the real one stays
    shutil.rmtree(places["/src"])
    assert not list(programs.glob("pip*"))
    version = subprocess.run([programs / "streamtasks-worker", "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("streamtasks-worker, version ")
    page = subprocess.run(
        [programs / "python", "-c", "from streamtasks_django.demo.wsgi import application; print(application)"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "StaticFilesHandler" in page.stdout, page.stderr
    subprocess.run([programs / "gunicorn", "--version"], check=True, timeout=60)
