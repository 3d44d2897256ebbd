"""Scripts and the calls of them: what every operation sends."""

from __future__ import annotations

import hashlib
from functools import cache, lru_cache
from typing import Any, NamedTuple

import streamtasks_lua

from ...protocol.keys import Keys

__all__ = ["Call", "Script", "script", "stream_keys"]


class Script(NamedTuple):
    """A script and the SHA1 by which EVALSHA names it."""

    name: str
    source: str
    sha: str


class Call(NamedTuple):
    """One EVALSHA command: a script with its KEYS and ARGV."""

    script: Script
    keys: list[str]
    args: list[Any]

    @property
    def tag(self) -> str:
        """The shard that the call concerns: all keys of a call have the same tag."""
        return self.keys[0].partition("{")[2].partition("}")[0]


@cache
def script(name: str) -> Script:
    """Return a script by its name."""
    source = streamtasks_lua.source(name)
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


@lru_cache(maxsize=256)
def stream_keys(keys: Keys, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the stream and the wake list of each named stream, as include/streams.lua expects them."""
    return tuple(key for name in names for key in (keys.stream(name), keys.queue_wake(name.partition(":")[2])))
