"""Users of servers that hold for a while and are deleted then, as tokens of a service do: the server ends all of their
connections."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Self

import redis

from streamtasks.stores.redis.access import UserRole, rules
from tests.support.users import PASSWORD, server_version

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class ShortLivedUsers:
    """One user at a time, whose name and password stand in a file; a context manager.

    Args:
        urls: the servers.
        path: the file.
        holds_s: how long each holds, seconds, from when a connection logs in.
    """

    def __init__(self, urls: Sequence[str], path: Path, holds_s: float) -> None:
        self.path = path
        self._holds_s = holds_s
        self._admins = [redis.Redis.from_url(url, decode_responses=True) for url in urls]
        self._number = 0
        self._since = 0.0
        self.begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for admin in self._admins:
            admin.execute_command("ACL", "DELUSER", self._name(self._number), self._name(self._number - 1))
            admin.close()

    @staticmethod
    def _name(number: int) -> str:
        return f"token-{number}"

    def begin(self) -> None:
        """Let the next user begin; the one before still holds."""
        self._number += 1
        for admin in self._admins:
            words = rules(UserRole.WORKER, "streamtasks:", server_version(admin))
            admin.execute_command("ACL", "SETUSER", self._name(self._number), "reset", "on", f">{PASSWORD}", *words)
        found = {"user": self._name(self._number), "password": PASSWORD, "holds_s": self._holds_s}
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(found))
        new.replace(self.path)
        self._since = time.monotonic()

    def clients(self, number: int | None = None) -> list[dict[str, Any]]:
        """The connections of all users, or of the one with this number."""
        names = {self._name(one) for one in ([number] if number is not None else range(self._number + 1))}
        each: list[dict[str, Any]] = []
        for place, admin in enumerate(self._admins):
            rows: Any = admin.client_list()
            each += [row | {"id": f"{place}-{row['id']}"} for row in rows if row["user"] in names]
        return each

    def may_end(self) -> bool:
        """Whether the user before has no connection any more that is waited on, and its time is up.

        Connections that are not used stay as they are: whoever uses one logs in first.
        """
        waited_on = [row for row in self.clients(self._number - 1) if "b" in row["flags"] or int(row.get("ssub", 0))]
        return not waited_on and time.monotonic() > self._since + self._holds_s

    def end(self) -> None:
        """Delete the user before, with its connections."""
        for admin in self._admins:
            admin.execute_command("ACL", "DELUSER", self._name(self._number - 1))

    def waits(self) -> set[str]:
        """The connections of children that wait for work."""
        return {row["id"] for row in self.clients() if "b" in row["flags"]}
