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
INCLUDES = sorted(one.name.removesuffix(".lua") for one in ROOT.joinpath("include").iterdir())
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


def include(name: str) -> str:
    return ROOT.joinpath("include", f"{name}.lua").read_text("utf-8")


def without_comments(source: str) -> str:
    return "\n".join(re.sub(r"(^|\s)--.*$", "", line) for line in source.splitlines())


def included(source: str) -> set[str]:
    """The includes that a text names itself."""
    lines = re.findall(r"^ *-- include: (.*)$", source, re.MULTILINE)
    return {part.strip() for line in lines for part in line.split(",")}


def reach(source: str) -> set[str]:
    """All includes that a text names, and those that they name."""
    found: set[str] = set()
    left = included(source)
    while left:
        found |= left
        left = {name for one in left for name in included(include(one))} - found
    return found


def offered(source: str) -> set[str]:
    """The functions and values that an include gives to those who name it."""
    names = set(re.findall(r"^local function (\w+)", source, re.MULTILINE))
    for several in re.findall(r"^local (?!function\b)([\w, ]+)", source, re.MULTILINE):
        names.update(re.findall(r"\w+", several))
    return names


def described(name: str, array: str) -> tuple[list[tuple[int, str]], int | None]:
    """The positions that the header names one by one, and the first of an open end ("KEYS[8..]")."""
    single: list[tuple[int, str]] = []
    open_from = None
    row = r"^-- " + array + r"\[(\d+)(\.\.)?\] +(\w+)"
    for position, is_open, label in re.findall(row, header(name), re.MULTILINE):
        if is_open:
            open_from = int(position)
        else:
            single.append((int(position), label))
    return single, open_from


def commands(name: str) -> set[str]:
    return {command.lower() for command in re.findall(r"\b(?:redis\.p?)?call\(\s*'([^']+)'", code(name))}


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
        for part in (
            r"KEYS\[1",
            r"ARGV\[1",
            r"Returns ",
            r"Budget: (\d|one )",
            r"Moves:  ?\S",
            r"Role:   (monitor|producer|worker)$",
            r"Safe to repeat: (yes|no)",
            r"Clock: ",
        ):
            assert re.search(rf"^-- .*{part}", top, re.MULTILINE), f"the header does not say {part!r}"

    @pytest.mark.parametrize(("array", "prefix"), [("KEYS", "keys"), ("ARGV", "args")])
    def test_names_every_position_and_each_name_is_used(self, name: str, array: str, prefix: str) -> None:
        single, open_from = described(name, array)
        assert [position for position, _ in single] == list(range(1, len(single) + 1)), "a position was skipped"
        assert open_from in {None, len(single) + 1}, "an open end follows the last position that is named"
        sources = without_comments(text(name)) + "".join(without_comments(include(one)) for one in reach(text(name)))
        used = set(re.findall(rf"\b{prefix}\.(\w+)", sources))
        assert used - {"more"} == {label for _, label in single}
        assert not re.search(array + r"\[\d", sources), "code uses names, never positions"

    def test_plain_keys_come_before_those_that_the_caller_builds(self, name: str) -> None:
        # `Script.call` puts them one behind the other.
        built = re.findall(r"^-- KEYS\[\d+\] +\w+ +[A-Z]+ +keys\.\w+(\(?)", header(name), re.MULTILINE)
        assert built == sorted(built)
        assert len(built) == len(described(name, "KEYS")[0])

    def test_includes_are_used(self, name: str) -> None:
        own = without_comments(text(name))
        for one in included(text(name)):
            assert any(re.search(rf"\b{word}\b", own) for word in offered(include(one))), one
        assert "-- include:" not in streamtasks_lua.source(name)

    def test_nothing_is_left_of_the_names(self, name: str) -> None:
        assert not re.search(r"\b(keys|args)\.\w", without_comments(streamtasks_lua.source(name)))

    def test_calls_commands_by_literal_names(self, name: str) -> None:
        assert not re.findall(r"\b(?:redis\.p?)?call\((?!\s*')", code(name))

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


@pytest.mark.parametrize("name", INCLUDES)
class TestInclude:
    def test_has_a_header(self, name: str) -> None:
        lines = include(name).splitlines()
        assert lines[0].startswith(f"-- {name}: "), "the first line says what the include is for"
        assert re.search(r"^-- Keys: .", include(name), re.MULTILINE)

    def test_tells_the_keys_that_it_touches(self, name: str) -> None:
        told = re.search(r"^-- Keys: ((?:[\w, ]|\n-- )+)\.$", include(name), re.MULTILINE)
        assert told is not None
        listed = set(re.findall(r"\w+", told[1])) - {"none"}
        sources = [without_comments(include(one)) for one in {name} | reach(include(name))]
        assert listed == {key for source in sources for key in re.findall(r"\bkeys\.(\w+)", source)} - {"more"}

    def test_says_of_every_function_what_it_does(self, name: str) -> None:
        lines = include(name).splitlines()
        for at, line in enumerate(lines):
            function = re.match(r" *local function (\w+)\(", line)
            if function is not None:
                above = at - 1
                while lines[above].lstrip().startswith("--"):
                    above -= 1
                assert re.search(rf"-- {function[1]}\(", "\n".join(lines[above + 1 : at])), function[1]


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


PLACING = (
    "admit, charge, enqueue, fire, hand_back, move, promote, reclaim, replay_dead, resume_task, revoke, settle, unfold"
)
READS = {
    "exists",
    "get",
    "getrange",
    "hexists",
    "hget",
    "hlen",
    "hmget",
    "llen",
    "lrange",
    "pexpiretime",
    "time",
    "xinfo",
    "xlen",
    "zcount",
    "zmscore",
    "zrank",
} | {*("xpending", "xrange", "xrevrange", "zcard", "zrange", "zrangebylex", "zrangebyscore", "zrevrange", "zscore")}


def writers() -> dict[str, set[str]]:
    """Of each key of a shard, the scripts that may write it."""
    found: dict[str, set[str]] = {}
    for name in SCRIPTS:
        source = without_comments(text(name)) + "".join(without_comments(include(one)) for one in reach(text(name)))
        row = r"^-- KEYS\[\d+\] +(\w+) +[A-Z]+ +keys\.(\w+)(\(?)"
        attributes = {
            label: key for label, key, is_built in re.findall(row, header(name), re.MULTILINE) if not is_built
        }
        for command, label in re.findall(r"call\('(\w+)',\s*(?:'\w+', )?keys\.(\w+)", source):
            if command.lower() not in READS and label in attributes:
                found.setdefault(attributes[label], set()).add(name)
    return found


def test_the_protocol_page_tells_who_writes_each_key() -> None:
    page = ROOT.joinpath("README.md").read_text("utf-8")
    row = r"^\| `(\w+)` \| (?:HASH|ZSET|LIST|STREAM|STRING) \| .* \| ([^|]*) \|$"
    told = {
        key: set(re.sub(r" \([^)]*\)", "", by).replace("placing scripts", PLACING).split(", "))
        for key, by in re.findall(row, page, re.MULTILINE)
    }
    known = writers()
    del known["control"], known["done"]
    known["wake"] = told["wake"]  # through a function of its own
    assert told == known
