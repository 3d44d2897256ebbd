"""Listen to notifications of PostgreSQL."""

from __future__ import annotations

import select
import time
from collections.abc import Sequence
from contextlib import suppress
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
    """A connection that listens to some channels of a store.

    Args:
        session: of the store.
        channels: see `notify`.
        shares: listen on the connection that the session has anyway, if no transaction is open on it: a new one takes
            the server some milliseconds. Only for a thread that waits, and does nothing else with it meanwhile.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """

    def __init__(self, session: Session, *channels: str, shares: bool = False) -> None:
        self._raw: Any = None
        kept: Any = session.connection if shares else None
        self._shared = kept if kept is not None and kept.get_autocommit() and not kept.in_atomic_block else None
        self._channels = [channel_name(session.table, channel) for channel in channels]
        made: Any = self._shared or connections[own_alias(session.alias)].copy()
        self._error: type[Exception] = made.Database.Error
        try:
            made.ensure_connection()
            self._raw = made.connection
            with made.cursor() as cursor:
                cursor.execute(";".join(f'LISTEN "{channel}"' for channel in self._channels))
        except (DatabaseError, InterfaceError) as error:
            self.close()
            raise StoreUnavailable(f"The database {session.alias!r} does not answer: {error}".strip()) from error

    @property
    def is_lost(self) -> bool:
        """Whether the shared connection has been closed or made anew since."""
        return self._shared is not None and self._shared.connection is not self._raw

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
        """Close the connection; one that is shared only stops listening."""
        raw, self._raw = self._raw, None
        if self._shared is None:
            if raw is not None:
                raw.close()
        elif raw is not None and self._shared.connection is raw:
            self._raw = raw
            with suppress(DatabaseError, InterfaceError, StoreUnavailable):
                with self._shared.cursor() as cursor:
                    cursor.execute(";".join(f'UNLISTEN "{channel}"' for channel in self._channels))
                self.take()  # what came meanwhile would be kept by the connection
            self._raw = None


class EndListener:
    """Waits for the ends of tasks; without notifications it only sleeps.

    Args:
        session: of the store.
        ids: which tasks; None: any.
    """

    def __init__(self, session: Session, ids: Sequence[str] | None) -> None:
        self._session = session
        self._ids = None if ids is None else set(ids)
        self._listener = Listener(session, ENDS, shares=True) if can_listen(session) else None

    @property
    def hears(self) -> bool:
        """Whether the database tells of ends."""
        return self._listener is not None

    def wait(self, timeout_s: float) -> None:
        """Wait for an end, or until the time is up."""
        if self._listener is None:
            time.sleep(timeout_s)
            return
        if self._listener.is_lost:
            self._listener = Listener(self._session, ENDS, shares=True)
            return
        deadline = time.monotonic() + timeout_s
        while True:
            for _, payload in self._listener.take():  # also what was read beside the answer of a statement
                if self._ids is None or self._ids.intersection(payload.split("\n")):
                    return
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([self._listener.fd], [], [], left_s)[0]:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._listener is not None:
            self._listener.close()
