"""Read the Dockerfile and .dockerignore."""

from __future__ import annotations

import json
import re
import shlex
from fnmatch import fnmatch
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parent.parent.parent


class Instruction(NamedTuple):
    """One instruction: its word and the rest of its line."""

    word: str
    text: str

    @property
    def exec_form(self) -> list[str] | None:
        """The words of a JSON list; None: it is run by a shell."""
        return list(json.loads(self.text)) if self.text.startswith("[") else None


def stages() -> list[list[Instruction]]:
    """Return the instructions of each stage."""
    lines = [line for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines() if not line.startswith("#")]
    found: list[list[Instruction]] = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        word, _, text = line.partition(" ")
        if word == "FROM":
            found.append([])
        found[-1].append(Instruction(word, text.strip()))
    return found


def is_ignored(path: str) -> bool:
    """Whether .dockerignore leaves a file out of the build: the last pattern that matches it or its folder decides."""
    ignored = False
    parts = path.split("/")
    prefixes = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        pattern = line.strip().removeprefix("!")
        if not pattern or pattern.startswith("#"):
            continue
        tails = [part for prefix in prefixes for part in (prefix, prefix.rpartition("/")[2])]
        candidates = tails if pattern.startswith("**/") else prefixes
        if any(fnmatch(one, pattern.removeprefix("**/")) for one in candidates):
            ignored = not line.startswith("!")
    return ignored


def copied_files() -> dict[str, str]:
    """Return the files of the checkout that the first stage copies, with where they go below its folder."""
    found = {}
    for instruction in stages()[0]:
        if instruction.word == "COPY":
            *sources, target = shlex.split(instruction.text)
            for source in sources:
                path = ROOT / source
                for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                    name = file.relative_to(ROOT).as_posix()
                    if file.is_file() and not is_ignored(name):
                        found[name] = f"{target}/{file.relative_to(path)}" if path.is_dir() else f"{target}{file.name}"
    return found
