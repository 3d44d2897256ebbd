"""A proxy that reads commands and replies: it may answer a command itself, put another in its place, alter a reply."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

import hiredis

import streamtasks_lua
from tests.support.declared_keys import checked_source
from tests.support.proxy import Link, Proxy

type Words = list[bytes]


def frame_end(data: bytes, at: int = 0) -> int:
    """Return where the frame ends that begins at a place; 0: it is not complete."""
    line_end = data.find(b"\r\n", at)
    if line_end < 0:
        return 0
    kind, end = data[at : at + 1], line_end + 2
    if kind not in b"$*":
        return end
    count = int(data[at + 1 : line_end])
    if kind == b"$" and count >= 0:
        end += count + 2
        return end if len(data) >= end else 0
    for _ in range(count if kind == b"*" else 0):
        end = frame_end(data, end)
        if not end:
            return 0
    return end


def _frames(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the complete frames, and what is left."""
    found, at = [], 0
    while at < len(data) and (end := frame_end(data, at)):
        found.append(data[at:end])
        at = end
    return found, data[at:]


class RespProxy(Proxy):
    """Passes commands on one by one. Subscriptions are passed on as they are."""

    def answer(self, words: Words) -> bytes | None:
        """Return the reply to a command that the server does not get; None: it gets it."""

    def instead(self, words: Words) -> Words:
        """Return the command that the server gets."""
        return words

    def alter(self, words: Words, reply: bytes) -> bytes:
        """Return the reply that the client gets."""
        return reply

    def serve(self, link: Link) -> None:
        """See `Proxy.serve`."""
        owed: deque[tuple[Words, bytes | None]] = deque()  # commands without a reply yet, and replies of our own
        rest = {link.client: b"", link.server: b""}
        is_subscribed = False
        for source, data in self.received(link.client, link.server):
            if is_subscribed:
                (link.server if source is link.client else link.client).sendall(data)
                continue
            frames, rest[source] = _frames(rest[source] + data)
            for frame in frames:
                if source is link.client:
                    words = _parsed(frame)
                    own = self.answer(words)
                    is_subscribed = words[0].upper() == b"SSUBSCRIBE"
                    if not is_subscribed:
                        owed.append((words, own))
                    if own is None:
                        command: Any = tuple(self.instead(words))
                        link.server.sendall(hiredis.pack_command(command))
                else:
                    words, _ = owed.popleft()
                    link.client.sendall(self.alter(words, frame))
                while owed and (own := owed[0][1]) is not None:
                    owed.popleft()
                    link.client.sendall(own)


def _parsed(frame: bytes) -> Words:
    reader = hiredis.Reader()
    reader.feed(frame)
    words: Words = reader.gets()
    return words


def error(text: str) -> bytes:
    """Return an error reply."""
    return f"-{text}\r\n".encode()


def bulk(text: str) -> bytes:
    """Return a reply that is a text."""
    return f"${len(text.encode())}\r\n{text}\r\n".encode()


class CannedProxy(RespProxy):
    """Answers as a managed service does: some commands are refused, some fields of INFO are others.

    Args:
        port: of the server behind it.
        refused: error by command (``"CONFIG"``) or by command and first word (``"CONFIG GET"``).
        info: fields of INFO that are others; None: they are missing.
        most_arguments: more words than this behind the command are refused with ``limit_error``.
        refuses_keyless: whether scripts without keys are refused with ``limit_error``.
    """

    def __init__(
        self,
        port: int,
        refused: Mapping[str, str] = {},
        info: Mapping[str, str | None] = {},
        *,
        most_arguments: int = 1_000_000,
        refuses_keyless: bool = False,
        reply: Callable[[Words], bytes | None] = lambda _: None,
    ) -> None:
        super().__init__(port)
        self._refused, self._info = dict(refused), dict(info)
        self._most, self._refuses_keyless = most_arguments, refuses_keyless
        self._reply = reply

    def answer(self, words: Words) -> bytes | None:
        """See `RespProxy.answer`."""
        name = words[0].decode().upper()
        first = words[1].decode("utf-8", "replace").upper() if len(words) > 1 else ""
        text = self._refused.get(f"{name} {first}") or self._refused.get(name)
        if text:
            return error(text)
        if len(words) - 1 > self._most:
            return error("ERR the command has more arguments than are supported")
        if self._refuses_keyless and name in ("EVAL", "EVALSHA") and words[2] == b"0":
            return error("ERR scripts without keys are not supported")
        return self._reply(words)

    def alter(self, words: Words, reply: bytes) -> bytes:
        """See `RespProxy.alter`."""
        if words[0].upper() != b"INFO" or not self._info or not reply.startswith(b"$"):
            return reply
        lines = reply.partition(b"\r\n")[2].decode().splitlines()
        kept = [line for line in lines if line.partition(":")[0] not in self._info]
        added = [f"{name}:{value}" for name, value in self._info.items() if value is not None]
        return bulk("\r\n".join(kept + added))


class StrictProxy(RespProxy):
    """Refuses what the strictest service refuses: many arguments, scripts without keys, keys that are not declared.

    Attributes:
        largest: by script, or by command: how many words its largest call had, the command's name not counted.
        refusals: commands that were refused for that.
    """

    MOST = 3_999

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.sources: dict[bytes, tuple[str, bytes]] = {}  # by SHA1: the name, and the text that is run
        self.largest: Counter[str] = Counter()
        self.refusals: list[str] = []
        for name in streamtasks_lua.names():
            source = streamtasks_lua.source(name)
            sha = hashlib.sha1(source.encode()).hexdigest().encode()
            self.sources[sha] = name, checked_source(source).encode()

    def answer(self, words: Words) -> bytes | None:
        """See `RespProxy.answer`."""
        command = words[0].decode().upper()
        name = command
        if command in ("EVALSHA", "EVAL"):
            name = self.sources.get(words[1], (command, b""))[0]
            if words[2] == b"0":
                return self._refuse(f"{name} has no keys")
        count = len(words) - 1
        self.largest[name] = max(self.largest[name], count)
        if count > self.MOST:
            return self._refuse(f"{name} has {count} arguments and keys")
        if command in ("CONFIG", "KEYS", "SELECT", "FLUSHALL", "DEBUG", "SAVE", "WAIT", "WAITAOF"):
            return self._refuse(f"unknown command '{command}'")
        return None

    def instead(self, words: Words) -> Words:
        """Have the server run scripts that fail when they touch a key which they did not declare."""
        known: Any = self.sources.get(words[1]) if words[0].upper() == b"EVALSHA" else None
        return words if known is None else [b"EVAL", known[1], *words[2:]]

    def _refuse(self, text: str) -> bytes:
        self.refusals.append(text)
        return error(f"ERR {text}")
