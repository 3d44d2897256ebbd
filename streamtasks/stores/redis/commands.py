"""The commands that we send to a server: those of the scripts, and those that are sent by themselves."""

from __future__ import annotations

from functools import cache
from typing import Final

import streamtasks_lua

__all__ = ["SENT", "examples", "script_commands"]

SENT: Final = ("EVALSHA", "SCRIPT|LOAD", "BLPOP", "SSUBSCRIBE", "SUNSUBSCRIBE")
"""Commands that are sent by themselves, whatever the settings."""


@cache
def script_commands() -> tuple[str, ...]:
    """Return the commands that scripts use, a subcommand behind a bar: ``"XGROUP|CREATE"``."""
    found = {command for name in streamtasks_lua.names() for command in streamtasks_lua.commands(name)}
    return tuple(sorted(command.upper() for command in found))


def examples(command: str, key: str, channel: str) -> list[str]:
    """Return the words of a call of a command that is valid as far as permissions are concerned; it is not sent."""
    words = command.split("|")
    match words[0]:
        case "TIME" | "SUNSUBSCRIBE":
            return words
        case "SPUBLISH":
            return [*words, channel, "text"]
        case "SSUBSCRIBE":
            return [*words, channel]
        case "XREADGROUP":
            return [*words, "GROUP", "workers", "doctor", "COUNT", "1", "STREAMS", key, ">"]
        case "EVALSHA":
            return [*words, "0" * 40, "1", key]
        case "SCRIPT":
            return [*words, "return 1"]
        case _:
            return [*words, key, *_MORE.get(command, ())]


_MORE: Final[dict[str, tuple[str, ...]]] = {
    "BLPOP": ("0",),
    "DECRBY": ("1",),
    "GETRANGE": ("0", "0"),
    "HDEL": ("f",),
    "HEXISTS": ("f",),
    "HGET": ("f",),
    "HINCRBY": ("f", "1"),
    "HMGET": ("f",),
    "HSET": ("f", "v"),
    "HSETNX": ("f", "v"),
    "HSTRLEN": ("f",),
    "INCRBY": ("1",),
    "LPUSH": ("v",),
    "LRANGE": ("0", "-1"),
    "LTRIM": ("0", "-1"),
    "PEXPIRE": ("1",),
    "PEXPIREAT": ("1",),
    "RPUSH": ("v",),
    "SET": ("v",),
    "XACK": ("g", "0-1"),
    "XADD": ("*", "f", "v"),
    "XCLAIM": ("g", "c", "0", "0-1"),
    "XDEL": ("0-1",),
    "XGROUP|CREATE": ("g", "0"),
    "XGROUP|DELCONSUMER": ("g", "c"),
    "XINFO|CONSUMERS": ("g",),
    "XPENDING": ("g",),
    "XRANGE": ("-", "+"),
    "XREVRANGE": ("+", "-"),
    "XTRIM": ("MINID", "0-1"),
    "ZADD": ("0", "m"),
    "ZCOUNT": ("0", "0"),
    "ZINCRBY": ("1", "m"),
    "ZMSCORE": ("m",),
    "ZRANGE": ("0", "0"),
    "ZRANGEBYLEX": ("-", "+"),
    "ZRANGEBYSCORE": ("0", "0"),
    "ZRANK": ("m",),
    "ZREVRANGEBYSCORE": ("0", "0"),
    "ZREM": ("m",),
    "ZREMRANGEBYRANK": ("0", "0"),
    "ZREVRANGE": ("0", "0"),
    "ZSCORE": ("m",),
}
"""What follows the key in a valid call."""
