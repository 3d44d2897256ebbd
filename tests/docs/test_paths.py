"""Every file that the pages for maintainers name exists, and every link in them leads somewhere."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(
    [
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
        ROOT / "lua" / "streamtasks_lua" / "README.md",
    ]
)
FOLDERS = (
    "streamtasks",
    "workers",
    "django_backend",
    "lua",
    "tests",
    "benchmarks",
    "examples",
    "docs",
    "deploy",
    ".ci",
    "include",
)
PLACEHOLDER = re.compile(r"[<*{]|\bname\.\w+$")


def named_files(page: Path) -> Iterator[str]:
    """Yield the files and folders of the repository that a page names as code: `tests/lua/test_settle.py`."""
    for code in re.findall(r"`([^`\n]+)`", page.read_text("utf-8")):
        for word in code.split():
            path = word.split("::")[0].rstrip(",")
            if path.split("/")[0] in FOLDERS and "/" in path and not PLACEHOLDER.search(path):
                yield path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_exist(page: Path) -> None:
    bases = (ROOT, page.parent)
    assert [name for name in named_files(page) if not any((base / name).exists() for base in bases)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_index_of_decisions_is_complete() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\]\((\d{4}-[a-z-]+\.md)\)", (folder / "README.md").read_text("utf-8"))
    assert sorted(listed) == sorted(path.name for path in folder.glob("[0-9]*.md"))


def test_pages_are_found() -> None:
    assert len(PAGES) > 30
    assert any(list(named_files(page)) for page in PAGES)


def test_the_architecture_shows_the_layers_of_the_contracts() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    for contract in contracts:
        if not contract["name"].startswith("Layers of "):
            continue
        [package] = contract["containers"]
        table = text.partition(f"| layer of `{package}` |")[2].partition("\n\n")[0]
        shown = [re.findall(r"`(\w+)`", row.split("|")[1]) for row in table.splitlines()[2:]]
        layers = [layer.split(" | ") for layer in reversed(contract["layers"])]
        assert [sorted(row) for row in shown] == [sorted(row) for row in layers], package
