"""Listen to notifications of PostgreSQL on connections of their own."""

from __future__ import annotations

import select
import time
from collections.abc import Sequence
from typing import Any, Self

from django.db import connections
from django.db.utils import DatabaseError, InterfaceError

from streamtasks.exceptions import StoreUnavailable

from .notify import ENDS, channel_name
from .session import Session, own_alias

__all__ = ["EndListener", "Listener", "can_listen"]


def can_listen(session: Session) -> bool:
    """Whether the database notifies, and its driver lets one wait for that: psycopg 3, or psycopg2."""
    return session.vendor == "postgresql"


class Listener:
    """One connection that listens to some channels of a store.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """

    def __init__(self, session: Session, *channels: str) -> None:
        self._raw: Any = None
        made: Any = connections[own_alias(session.alias)].copy()
        self._error: type[Exception] = made.Database.Error
        try:
            made.ensure_connection()
            self._raw = made.connection
            with made.cursor() as cursor:
                for channel in channels:
                    cursor.execute(f'LISTEN "{channel_name(session.table, channel)}"')
        except (DatabaseError, InterfaceError) as error:
            self.close()
            raise StoreUnavailable(f"The database {session.alias!r} does not answer: {error}".strip()) from error

    @property
    def fd(self) -> int:
        """Readable when there may be notifications."""
        return int(self._raw.fileno())

    def take(self) -> list[tuple[str, str]]:
        """Return the notifications that have come, (channel, payload) each, without waiting.

        Raises:
            StoreUnavailable: the connection is broken.
        """
        raw = self._raw
        try:
            kept: Any = raw.notifies
            if callable(kept):  # psycopg 3
                new: Any = kept(timeout=0)
                return [(one.channel, one.payload) for one in new]
            raw.poll()
            found = [(one.channel, one.payload) for one in kept]
            kept.clear()
        except self._error as error:
            raise StoreUnavailable(f"The connection that listens is broken: {error}".strip()) from error
        return found

    def close(self) -> None:
        """Close the connection."""
        if self._raw is not None:
            self._raw.close()
            self._raw = None


class EndListener:
    """Waits for the ends of tasks; without notifications it only sleeps.

    Args:
        session: of the store.
        ids: which tasks; None: any.
    """

    def __init__(self, session: Session, ids: Sequence[str] | None) -> None:
        self._ids = None if ids is None else set(ids)
        self._listener = Listener(session, ENDS) if can_listen(session) else None

    @property
    def hears(self) -> bool:
        """Whether the database tells of ends."""
        return self._listener is not None

    def wait(self, timeout_s: float) -> None:
        """Wait for an end, or until the time is up."""
        if self._listener is None:
            time.sleep(timeout_s)
            return
        deadline = time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            ready, _, _ = select.select([self._listener.fd], [], [], left_s)
            if not ready:
                return
            for _, payload in self._listener.take():
                if self._ids is None or self._ids.intersection(payload.split("\n")):
                    return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._listener is not None:
            self._listener.close()
