"""The Lua scripts that make every state change of a message one atomic step.

This package only reads files. A script's header is its contract: it names each of KEYS and ARGV, and the code uses
these names only, so the two cannot disagree. `load` puts the positions in their places. What the keys and the state
line mean stands in ``README.md`` beside the scripts.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

__all__ = ["Script", "commands", "load", "names", "source"]

_HERE = files(__name__)
_INCLUDE = re.compile(r"( *)-- include: (.+)")
_ROW = re.compile(r"-- (KEYS|ARGV)\[(\d+)(\.\.)?\] +(\w+)(?: +[A-Z]+ +keys\.(\w+)(\()?)?")
_ROLE = re.compile(r"^-- Role: +(monitor|producer|worker)$", re.MULTILINE)
_NAME = re.compile(r"\b(keys|args)\.(\w+)\b")
_ARRAYS = {"keys": "KEYS", "args": "ARGV"}
_COMMENT = re.compile(r"(^|\s)--.*$", re.MULTILINE)
_COMMAND = re.compile(r"\bp?call\(\s*'(\w+)'(?:\s*,\s*'(\w+)')?")
_CONTAINERS = ("XGROUP", "XINFO")


class Script(NamedTuple):
    """A script as a server gets it, the least role that calls it, and the names of what a call passes, in their order.

    ``keys`` are attributes of `streamtasks.protocol.keys.Keys`; the caller builds ``own_keys`` itself, and what follows
    behind the named ones.
    """

    name: str
    source: str
    role: str
    keys: tuple[str, ...]
    own_keys: tuple[str, ...]
    arguments: tuple[str, ...]


def names() -> list[str]:
    """Return the names of all scripts, sorted."""
    return sorted(entry.name[: -len(".lua")] for entry in _HERE.iterdir() if entry.name.endswith(".lua"))


def source(name: str) -> str:
    """Return the whole text of one script; errors as `load`."""
    return load(name).source


@cache
def commands(name: str) -> frozenset[str]:
    """Return the commands that a script may call, in small letters; subcommands as ``xgroup|create``. Errors as `load`.

    Scripts name their commands literally, which ``tests/lua/test_headers.py`` checks.
    """
    code = _COMMENT.sub("", load(name).source)
    return frozenset(
        (f"{command}|{second}" if command in _CONTAINERS else command).lower()
        for command, second in _COMMAND.findall(code)
    )


@cache
def load(name: str) -> Script:
    """Read a script, put its includes in their places, and positions where names of KEYS and ARGV stand.

    Raises:
        FileNotFoundError: there is no script, or include, of that name.
        ValueError: the code uses a name that the header does not declare, or the header names no role.
    """
    text = _HERE.joinpath(f"{name}.lua").read_text("utf-8")
    places: dict[str, str] = {}
    keys: list[str] = []
    own_keys: list[str] = []
    arguments: list[str] = []
    for line in text.splitlines():
        row = _ROW.match(line)
        if row is None:
            continue
        array, position, is_open, label, attribute, is_built = row.groups()
        of = "keys" if array == "KEYS" else "args"
        if is_open:
            places[f"{of}.more"] = position
            continue
        places[f"{of}.{label}"] = f"{array}[{position}]"
        if of == "args":
            arguments.append(label)
        elif is_built:
            own_keys.append(label)
        else:
            keys.append(attribute)

    def position_of(found: re.Match[str]) -> str:
        if found[0] not in places:
            raise ValueError(f"{name}.lua uses {found[0]}, which its header does not declare")
        return places[found[0]]

    lines = "\n".join(_assembled(text, set())).split("\n")
    code = [line if line.lstrip().startswith("--") else _NAME.sub(position_of, line) for line in lines]
    role = _ROLE.search(text)
    if role is None:
        raise ValueError(f"{name}.lua does not say in its header which role calls it")
    return Script(name, "\n".join(code) + "\n", role[1], tuple(keys), tuple(own_keys), tuple(arguments))


def _assembled(text: str, known: set[str]) -> list[str]:
    """Return the lines of a text with its includes in their places, each once in every scope.

    ``known``: what is included already where this text stands. An include inside a function is known only there.
    """
    lines: list[str] = []
    for line in text.splitlines():
        directive = _INCLUDE.fullmatch(line)
        if directive is None:
            lines.append(line)
            continue
        scope = known if not directive[1] else set(known)
        for part in directive[2].split(","):
            include = part.strip()
            if include not in scope:
                scope.add(include)
                body = _HERE.joinpath("include", f"{include}.lua").read_text("utf-8")
                lines += _assembled(body, scope)
    return lines
