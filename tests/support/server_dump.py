"""The whole content of a server, in a form that can be compared."""

from __future__ import annotations

from typing import Any, NamedTuple

from streamtasks.protocol.keys import GROUP


class Stream(NamedTuple):
    """A stream with a group: ids of its entries in order, and who holds which (an entry's id if it is no more)."""

    entries: list[str]
    pending: dict[str, str]


def accepted_at(ms: int) -> str:
    """The time before an envelope, as scripts write it: in base 36."""
    digits = ""
    while ms:
        ms, digit = divmod(ms, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits


def text(value: Any) -> Any:
    """Turn bytes into text, at any depth; what is not UTF-8 becomes visible."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, (list, tuple)):
        return [text(one) for one in value]
    return value


def entries_of(client: Any, key: str) -> list[tuple[str, dict[str, str]]]:
    """The entries of a stream, oldest first: id and fields."""
    return [(text(entry), {text(k): text(v) for k, v in fields.items()}) for entry, fields in client.xrange(key)]


def _stream(client: Any, key: str) -> Stream | list[dict[str, str]]:
    entries = entries_of(client, key)
    if not client.xinfo_groups(key):
        return [fields for _, fields in entries]
    names = {entry: fields.get("id") or " ".join(sum(fields.items(), ())) for entry, fields in entries}
    pending = client.xpending_range(key, GROUP, "-", "+", 10_000)
    held: dict[str, str] = {text(row["message_id"]): text(row["consumer"]) for row in pending}
    return Stream(list(names.values()), {names.get(entry, entry): who for entry, who in held.items()})


def dump(client: Any, prefix: str = "") -> dict[str, Any]:
    """Read every key of the server. Names come without ``prefix``; a key that expires says so in its name."""
    found: dict[str, Any] = {}
    for name in sorted(text(client.keys("*"))):
        kind = text(client.type(name))
        content: Any
        if kind == "hash":
            content = {text(k): text(v) for k, v in client.hgetall(name).items()}
        elif kind == "zset":
            content = {text(m): int(score) for m, score in client.zrange(name, 0, -1, withscores=True)}
        elif kind == "set":
            content = {text(member) for member in client.smembers(name)}
        elif kind == "list":
            content = text(client.lrange(name, 0, -1))
        elif kind == "stream":
            content = _stream(client, name)
        else:
            content = text(client.get(name))
        expires = "" if client.pttl(name) == -1 else " (expires)"
        found[name.removeprefix(prefix) + expires] = content
    return found
