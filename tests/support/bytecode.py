"""Compiled modules of a fresh checkout: each is made by one of a run's processes, not by all of them.

All processes import the same files in the same order and at the same time. Where no compiled ones exist yet, each
would compile them all, and rewrite the assertions of all tests, which takes three times as long as the rest of the
collection.
"""

from __future__ import annotations

from importlib.machinery import SourceFileLoader
from importlib.util import cache_from_source
from pathlib import Path
from typing import TYPE_CHECKING

from _pytest.assertion import rewrite

if TYPE_CHECKING:
    import pytest

FOLDERS = ("streamtasks", "workers", "django_backend", "lua", "tests")


def compile_share(config: pytest.Config, number: int, count: int) -> None:
    """Compile this process's share of the files that have no compiled one yet: each ``count``-th from ``number`` on."""
    files = sorted(path for folder in FOLDERS for path in (config.rootpath / folder).rglob("*.py"))
    for path in files[number::count]:
        if path.name.startswith("test_") or path.name == "conftest.py":
            _rewrite(config, path)
        elif not Path(cache_from_source(path)).exists():
            SourceFileLoader(path.stem, str(path)).get_code(path.stem)


def _rewrite(config: pytest.Config, path: Path) -> None:
    """As pytest does when it imports a test. It has no public function for that."""
    folder = rewrite.get_cache_dir(path)
    compiled = folder / f"{path.stem}{rewrite.PYC_TAIL}"
    if not compiled.exists() and rewrite.try_makedirs(folder):
        digest, code = rewrite._rewrite_test(path, config)  # pyright: ignore[reportPrivateUsage]
        rewrite._write_pyc(config.stash[rewrite.assertstate_key], code, digest, compiled)  # pyright: ignore[reportPrivateUsage]
