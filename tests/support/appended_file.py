"""Files that other processes append lines to while a test reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def whole_lines(path: Path) -> list[str]:
    """Return the lines of ``path`` that end in a newline.

    An append is one system call, but a reader beside it may see its first part: the last line is left out until it is
    whole.
    """
    whole, _, _ = path.read_text().rpartition("\n")
    return whole.splitlines()
