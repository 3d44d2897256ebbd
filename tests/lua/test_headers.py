"""Every script keeps the promises that its header and README.md make."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
import redis

import streamtasks_lua

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPTS = streamtasks_lua.names()
ROOT = files("streamtasks_lua")
OLDEST_SERVER = (7, 0, 0)
LUA = frozenset(
    re.findall(
        r"\w+",
        """
    and break do else elseif end false for function if in local nil not or repeat return then true until while
    ARGV KEYS cjson error ipairs math next pairs redis select string table tonumber tostring type unpack
    """,
    )
)


def text(name: str) -> str:
    return ROOT.joinpath(f"{name}.lua").read_text("utf-8")


def header(name: str) -> str:
    """The comment lines at the top, after the first line."""
    lines = text(name).splitlines()[1:]
    end = next((i for i, line in enumerate(lines) if not line.startswith("--")), len(lines))
    return "\n".join(lines[:end])


def code(name: str) -> str:
    """What runs: includes in place, comments away."""
    return "\n".join(re.sub(r"(^|\s)--.*$", "", line) for line in streamtasks_lua.source(name).splitlines())


def described(name: str, array: str) -> tuple[set[int], int | None]:
    """The indexes that the header names one by one, and the first of an open end ("KEYS[8..]")."""
    single: set[int] = set()
    open_from = None
    for inner in re.findall(array + r"\[([\d,.]+)\]", header(name)):
        if inner.endswith(".."):
            open_from = int(inner[:-2])
        else:
            single.update(int(number) for number in inner.split(","))
    return single, open_from


def commands(name: str) -> set[str]:
    return {command.lower() for command in re.findall(r"redis\.p?call\(\s*'([^']+)'", code(name))}


@pytest.fixture
def client(server_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server_url, decode_responses=True) as connected:
        yield connected


def test_there_are_scripts() -> None:
    assert {"enqueue", "claim", "settle", "hand_back", "promote", "reclaim"} <= set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
class TestHeader:
    def test_has_every_part(self, name: str) -> None:
        assert re.fullmatch(r"#!lua( flags=[a-z,-]+)?", text(name).splitlines()[0])
        top = header(name)
        assert top.startswith(f"-- {name}: "), "the first line says what the script does"
        for part in (r"KEYS\[1", r"ARGV\[1", r"Returns ", r"Moves:  ?\S", r"Safe to repeat: (yes|no)", r"Clock: "):
            assert re.search(rf"^-- .*{part}", top, re.MULTILINE), f"the header does not say {part!r}"

    @pytest.mark.parametrize("array", ["KEYS", "ARGV"])
    def test_describes_every_index_in_use(self, name: str, array: str) -> None:
        single, open_from = described(name, array)
        last = max(single, default=0)
        assert single == set(range(1, last + 1)), "an index was skipped"
        assert open_from in {None, last + 1}, "an open end follows the last index that is named"
        used = {int(number) for number in re.findall(array + r"\[(\d+)\]", code(name))}
        unknown = {number for number in used if number not in single and (open_from is None or number < open_from)}
        assert not unknown

    def test_includes_exist_and_are_used(self, name: str) -> None:
        for line in re.findall(r"^-- include: (.*)$", text(name), re.MULTILINE):
            for include in line.split(","):
                body = ROOT.joinpath("include", f"{include.strip()}.lua").read_text("utf-8")
                offered = re.findall(r"^local function (\w+)", body, re.MULTILINE)
                # Once is its definition.
                assert any(len(re.findall(rf"\b{function}\(", code(name))) > 1 for function in offered)
        assert "-- include:" not in streamtasks_lua.source(name)

    def test_calls_commands_by_literal_names(self, name: str) -> None:
        assert not re.findall(r"redis\.p?call\((?!\s*')", code(name))

    def test_uses_only_declared_names(self, name: str) -> None:
        # A global raises an error, but only at run time and on the path that comes by it.
        body = re.sub(r"'[^'\n]*'|^#!.*$", "''", code(name), flags=re.MULTILINE)
        names = set(re.findall(r"(?<![\w.:])([A-Za-z_]\w*)\b(?!\s*=(?!=)[^=\n]*[,}])", body))
        declared = set(re.findall(r"\blocal function (\w+)", body))
        for pattern in (
            r"\blocal (?!function\b)([\w, ]+)",
            r"\bfor ([\w, ]+?) (?:in|=)",
            r"\bfunction\s*\w*\(([^)]*)\)",
        ):
            for several in re.findall(pattern, body):
                declared.update(re.findall(r"\w+", several))
        assert not names - declared - LUA


@pytest.mark.parametrize("name", SCRIPTS)
class TestCommands:
    def test_never_scans(self, name: str) -> None:
        assert not commands(name) & {"keys", "scan", "hscan", "sscan", "zscan", "hgetall", "smembers", "hkeys", "hvals"}

    def test_never_blocks(self, name: str) -> None:
        assert not re.search(r"'BLOCK'", code(name))

    def test_needs_nothing_newer_than_the_oldest_server(self, name: str, client: redis.Redis) -> None:
        names = sorted(commands(name))
        docs: Any = client.execute_command("COMMAND DOCS", *names)
        pairs = docs.items() if isinstance(docs, dict) else zip(docs[::2], docs[1::2], strict=True)
        since = {
            command: doc if isinstance(doc, dict) else dict(zip(doc[::2], doc[1::2], strict=True))
            for command, doc in pairs
        }
        assert sorted(since) == names, "a command that the server does not know"
        for command, doc in since.items():
            assert tuple(int(part) for part in doc["since"].split(".")) <= OLDEST_SERVER, command

    def test_loads(self, name: str, client: redis.Redis) -> None:
        assert len(str(client.script_load(streamtasks_lua.source(name)))) == 40
