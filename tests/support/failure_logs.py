"""The logs of servers and workers, which are shown where a test fails."""

from __future__ import annotations

from pathlib import Path

_MOST_CHARACTERS = 20_000

_of_the_test: dict[Path, str] = {}
_of_all_tests: dict[Path, str] = {}


def show_log(what: str, path: Path, *, lasting: bool = False) -> None:
    """Show the end of a log where the test that runs fails; ``lasting``: also where later tests fail."""
    (_of_all_tests if lasting else _of_the_test)[path] = what


def sections() -> list[tuple[str, str]]:
    """Return title and text of each log that there is."""
    return [
        (f"log of {what} {path.name}", path.read_text("utf-8", "replace")[-_MOST_CHARACTERS:])
        for path, what in {**_of_all_tests, **_of_the_test}.items()
        if path.exists()
    ]


def forget() -> None:
    """Forget the logs of the test that has ended."""
    _of_the_test.clear()
