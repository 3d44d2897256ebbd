"""The Lua scripts that make every state change of a message one atomic step.

This package only reads files; what a script does stands in its header, and what the
keys and the state line mean stands in ``README.md`` beside them.
"""

from functools import cache
from importlib.resources import files

__all__ = ["names", "source"]

_HERE = files(__name__)
_INCLUDE = "-- include: "


def names() -> list[str]:
    """Return the names of all scripts, sorted."""
    return sorted(entry.name[: -len(".lua")] for entry in _HERE.iterdir() if entry.name.endswith(".lua"))


@cache
def source(name: str) -> str:
    """Return the whole text of one script, with what its ``-- include:`` line names in its place.

    Raises:
        FileNotFoundError: there is no script of that name.
    """
    lines: list[str] = []
    for line in _HERE.joinpath(f"{name}.lua").read_text("utf-8").splitlines():
        if line.startswith(_INCLUDE):
            parts = line.removeprefix(_INCLUDE).split(",")
            lines += (_HERE.joinpath("include", f"{part.strip()}.lua").read_text("utf-8").rstrip() for part in parts)
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"
