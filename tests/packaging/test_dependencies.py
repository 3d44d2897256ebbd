"""What the project declares as a dependency is used, and what it uses is declared."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PACKAGES = (
    "streamtasks",
    "workers/streamtasks_workers",
    "django_backend/streamtasks_django",
    "lua/streamtasks_lua",
)
LOADED_BY_NAME = {"lz4", "ormsgpack", "backports", "cryptography", "psycopg"}
"""Top modules that `importlib.import_module` or Django loads, because they are optional."""
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def imported() -> set[str]:
    """Return the top modules that the four packages import anywhere, but for the standard library and our own."""
    names: set[str] = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            names |= set(imports_of(ast.parse(path.read_text("utf-8"))))
    return {
        name for name in names if name not in sys.stdlib_module_names and not re.fullmatch(r"streamtasks(_\w+)?", name)
    }


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Yield the top module of every absolute import in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def normal(name: str) -> str:
    """Return the name of a distribution as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def distributions(requirements: Iterable[str]) -> set[str]:
    """Return the distributions that requirements name."""
    return {normal(re.split(r"[\s\[<>=!~;@]", requirement)[0]) for requirement in requirements}


def test_dependencies_are_what_is_imported() -> None:
    project = PYPROJECT["project"]
    declared = distributions(project["dependencies"])
    optional = distributions(each for extra in project["optional-dependencies"].values() for each in extra)
    where = packages_distributions()
    modules = imported() | {name for name in LOADED_BY_NAME if name in where}
    used = {normal(name) for module in modules for name in where[module]} & (declared | optional)
    unknown = {module for module in modules if not {normal(name) for name in where[module]} & (declared | optional)}
    # pytest loads our plugin, so it is there whenever the plugin is.
    assert unknown == {"pytest"}
    assert declared <= used, "declared, but nothing imports it"
    assert optional - used <= {"backports-zstd"}, "an extra that nothing imports"


def test_sdist_names_files_that_exist() -> None:
    named = PYPROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert [name for name in named if not (ROOT / name.lstrip("/")).exists()] == []
    assert PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == list(PACKAGES)
