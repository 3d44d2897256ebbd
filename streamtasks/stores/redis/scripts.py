"""Scripts and the calls of them: what every operation sends."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

import streamtasks_lua

from ...protocol.keys import Keys

__all__ = ["Answer", "Behind", "BehindOf", "Call", "Script", "script"]


class Script:
    """A script, the SHA1 by which EVALSHA names it, and what its header says of KEYS and ARGV."""

    __slots__ = ("_arguments", "_named", "_own_keys", "_plain_keys", "name", "sha", "source")

    def __init__(self, name: str) -> None:
        loaded = streamtasks_lua.load(name)
        self.name = name
        self.source = loaded.source
        self.sha = hashlib.sha1(loaded.source.encode(), usedforsecurity=False).hexdigest()
        self._plain_keys = _getter(loaded.keys)
        self._own_keys = loaded.own_keys
        self._arguments = loaded.arguments
        self._named = len(loaded.own_keys) + len(loaded.arguments)

    def call(
        self,
        keys: Keys,
        *,
        streams: Collection[str] | None = None,
        more_keys: Iterable[str] = (),
        more_args: Iterable[Any] = (),
        **named: Any,
    ) -> Call:
        """Build a call: what the header names comes into the order that it tells.

        Args:
            keys: of the shard; keys without a parameter are taken from here.
            streams: names of the streams that the call brings, for scripts that have ``stream_count``.
            more_keys: what follows in KEYS behind those named in the header, and behind the streams.
            more_args: the same in ARGV.
            named: the other keys and the arguments, by their names in the header.

        Raises:
            KeyError: one of them is missing.
            TypeError: one of them is not in the header.
        """
        if streams is not None:
            named["stream_count"] = len(streams)
        if len(named) != self._named:
            unknown = named.keys() - {*self._own_keys, *self._arguments}
            if unknown:
                raise TypeError(f"{self.name}.lua has no {', '.join(sorted(unknown))}.")
        all_keys = [*self._plain_keys(keys), *[named[name] for name in self._own_keys]]
        args = [named[name] for name in self._arguments]
        if streams is not None:
            for name in streams:
                all_keys += (keys.stream(name), keys.queue_wake(name.partition(":")[2]))
            args += streams
        all_keys += more_keys
        args += more_args
        return Call(self, all_keys, args)


class Call(NamedTuple):
    """One EVALSHA command: a script with its KEYS and ARGV."""

    script: Script
    keys: list[str]
    args: list[Any]

    @property
    def tag(self) -> str:
        """The shard that the call concerns: all keys of a call have the same tag."""
        return self.keys[0].partition("{")[2].partition("}")[0]


class Behind(NamedTuple):
    """Plain commands behind the calls of a packet, on the same connection; errors of the server are values.

    ``slow_s``: how long each of the last two may take longer than others, seconds. ``replicas``: how many they need.
    """

    commands: list[tuple[Any, ...]]
    slow_s: float = 0.0
    replicas: int = 0


type BehindOf = Callable[[str], Behind]
"""Returns what is sent behind the calls to one master, which is named as in `Answer`."""


class Answer(NamedTuple):
    """One master's replies to what was behind.

    ``master``: its address; empty: whichever Sentinels name. ``changes``: `Endpoint.changes` of the connection.
    """

    master: str
    behind: Behind
    replies: list[Any]
    changes: int = 0


@cache
def script(name: str) -> Script:
    """Return a script by its name."""
    return Script(name)


def _getter(names: tuple[str, ...]) -> Callable[[Keys], tuple[str, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    return lambda keys: tuple(getattr(keys, name) for name in names)
