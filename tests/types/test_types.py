"""What users write passes ``mypy --strict`` and a strict pyright, and their mistakes do not.

The checkers run in a folder of their own with settings of their own, and find the packages as an installed project
does.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

from streamtasks.tasks.option_types import PlainDefinitionOptions, UsingOptions
from streamtasks.tasks.signature import OPTION_NAMES
from streamtasks.tasks.step import ApplyOptions
from streamtasks_django.tasks.definition import CHECKED, USING
from streamtasks_django.tasks.option_types import DjangoApplyOptions, DjangoDefinitionOptions, DjangoUsingOptions

CODE = Path(__file__).parent / "code"
EXAMPLES = Path(__file__).parent.parent.parent / "examples"
ROOTS = ("code", "examples", "examples/testing", "examples/django_project")
PYRIGHT = {
    "typeCheckingMode": "strict",
    "include": ["code", "examples"],
    "extraPaths": list(ROOTS),
    # What a checker has to refuse is written without use; Django itself has types in its stubs only.
    "reportUnusedExpression": False,
    "reportUnusedVariable": False,
    "reportUnusedCoroutine": False,
    "reportMissingTypeStubs": False,
    "reportMissingModuleSource": False,
}

type Lines = set[tuple[str, int]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("types")
    shutil.copytree(CODE, found / "code", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(EXAMPLES, found / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    (found / "mypy.ini").write_text("[mypy]\nstrict = True\nexplicit_package_bases = True\nnamespace_packages = True\n")
    (found / "pyrightconfig.json").write_text(json.dumps(PYRIGHT))
    return found


def run(folder: Path, *command: str) -> str:
    environment = {name: text for name, text in os.environ.items() if name not in ("MYPYPATH", "PYTHONPATH")}
    environment["MYPYPATH"] = os.pathsep.join(ROOTS)
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=280,
        check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def expected(folder: Path) -> Lines:
    return {
        (path.relative_to(folder).as_posix(), number)
        for path in folder.rglob("*.py")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if line.endswith("# expect-error")
    }


def compare(found: Lines, wanted: Lines, printed: str) -> None:
    assert wanted
    assert {"not refused": sorted(wanted - found), "refused": sorted(found - wanted)} == {
        "not refused": [],
        "refused": [],
    }, printed


@pytest.mark.slow
def test_mypy(folder: Path) -> None:
    printed = run(
        folder, "mypy", "--config-file", "mypy.ini", "--no-pretty", "--show-absolute-path", "code", "examples"
    )
    lines = re.findall(rf"^{re.escape(str(folder))}/(\S+?\.py):(\d+): error:", printed, re.MULTILINE)
    compare({(path, int(number)) for path, number in lines}, expected(folder), printed)


@pytest.mark.slow
def test_pyright(folder: Path) -> None:
    printed = run(folder, "pyright", "--outputjson", "--pythonpath", sys.executable)
    errors = [one for one in json.loads(printed)["generalDiagnostics"] if one["severity"] == "error"]
    found = {
        (Path(one["file"]).resolve().relative_to(folder.resolve()).as_posix(), one["range"]["start"]["line"] + 1)
        for one in errors
    }
    texts = "\n".join(f"{one['file']}:{one['range']['start']['line'] + 1}: {one['message']}" for one in errors)
    compare(found, expected(folder), texts)


def test_checkers_know_all_options() -> None:
    assert get_type_hints(ApplyOptions).keys() == OPTION_NAMES
    assert get_type_hints(DjangoApplyOptions).keys() == OPTION_NAMES | {"queue_name", "run_after"}
    definition = {*CHECKED, "queue", "queue_name", "priority"}
    assert get_type_hints(PlainDefinitionOptions).keys() == (definition | {"run_after"}) - {"bind"}
    django = definition | {"name", "backend", "schedule", "max_attempts", "backoff"}
    assert get_type_hints(DjangoDefinitionOptions).keys() == django - {"bind"}
    assert get_type_hints(DjangoUsingOptions).keys() == USING | {"queue"}
    assert get_type_hints(UsingOptions).keys() == (USING | {"queue"}) - {"backend", "metadata"}
