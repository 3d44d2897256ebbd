"""Hear of a new master as soon as Sentinels agree on it, on connections that are subscribed to their announcements."""

from __future__ import annotations

import asyncio
import logging
import math
import selectors
import time
from contextlib import suppress
from typing import Any, Final

from redis.exceptions import RedisError

from ...backoff import Backoff
from ..logins import due_in_s, is_due
from ..nodes import Node
from .connections import asentinel, sentinel
from .search import LOOK_EVERY_S, Search

__all__ = ["SwitchWatch", "next_switch"]

WATCHED: Final = 2
"""So many Sentinels each child listens to."""

AGAIN_S: Final = 5.0
"""A Sentinel that could not be subscribed to is tried again after so long, seconds."""

CHANNEL: Final = "+switch-master"

logger = logging.getLogger("streamtasks.store")


class SwitchWatch:
    """For a child that waits on a descriptor: it then waits for an announcement as well.

    Belongs to one thread. Nothing is sent after the subscription, so looking costs one system call.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        self._selector = selectors.DefaultSelector()
        self._waiter = -1
        self._try_at = 0.0
        self._backoff = Backoff(1.0, 60.0, at_once=1)
        self._listened: set[Node] = set()
        self._logs_in = "credential_provider" in search.address.options
        self._wanted = min(WATCHED, len(search.address.sentinels))

    def beside(self, waiter: int) -> int:
        """Return a descriptor that is readable if the waiter's is, or if a Sentinel has something to say."""
        self._subscribe()
        if self._waiter != waiter:
            self.forget()
            self._selector.register(waiter, selectors.EVENT_READ)
            self._waiter = waiter
        return int(self._selector.fileno())

    def forget(self) -> None:
        """Forget the waiter's descriptor, before it is closed: its number may be used again."""
        if self._waiter >= 0:
            with suppress(KeyError, ValueError, OSError):
                self._selector.unregister(self._waiter)
            self._waiter = -1

    def look(self) -> bool:
        """Note what Sentinels have announced; return whether the waiter is readable."""
        self._drop_due()
        self._subscribe()
        readable = False
        for key, _ in self._selector.select(0):
            if key.data is None:
                readable = True
            else:
                self._read(key.data)
        return readable

    def _drop_due(self) -> None:
        """Close one connection whose login ends soon, to be made anew: what is subscribed takes no AUTH."""
        if not self._logs_in:
            return
        for key in list(self._selector.get_map().values()):
            if key.data is not None and is_due(key.data):
                self._drop(key.data, key.fd)
                self._try_at = 0.0
                return

    def _drop(self, connection: Any, descriptor: int) -> None:
        self._selector.unregister(descriptor)
        connection.disconnect()
        self._listened.discard(Node(connection.host, connection.port))

    def close(self) -> None:
        """Close the connections to Sentinels."""
        for key in list(self._selector.get_map().values()):
            if key.data is not None:
                key.data.disconnect()
        self._selector.close()

    def _read(self, connection: Any) -> None:
        descriptor = connection._sock.fileno()
        try:
            while connection.can_read(0):
                _concerns(connection.read_response(), self._search)
        except (RedisError, OSError):
            self._drop(connection, descriptor)

    def _subscribe(self) -> None:
        """Keep up enough subscriptions, at the Sentinels that answer soonest."""
        if len(self._listened) >= self._wanted or time.monotonic() < self._try_at:
            return
        for node in self._search.quickest():
            if node in self._listened:
                continue
            connection = sentinel(self._search.address, node)
            try:
                connection.connect()
                connection.send_command("SUBSCRIBE", CHANNEL, check_health=False)
                connection.read_response()
            except (RedisError, OSError) as error:
                logger.debug("Sentinel %s does not let us listen: %s", node, error)
                connection.disconnect()
                # One at a time: a child that has work may not stand still for long.
                self._search.is_slow(node)
                self._try_at = time.monotonic() + self._backoff.next_s()
                return
            self._selector.register(connection._sock, selectors.EVENT_READ, connection)
            self._listened.add(node)
            self._backoff.reset()
            if len(self._listened) >= self._wanted:
                return


async def next_switch(search: Search, changes: int) -> None:
    """Return when there have been other changes of the master than these. All Sentinels are listened to."""
    listeners = [asyncio.ensure_future(_listen(search, node)) for node in search.address.sentinels]
    try:
        while search.changes == changes:
            await asyncio.wait(listeners, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            listeners = [
                asyncio.ensure_future(_listen(search, node)) if listener.done() else listener
                for node, listener in zip(search.address.sentinels, listeners, strict=True)
            ]
    finally:
        for listener in listeners:
            listener.cancel()
        await asyncio.gather(*listeners, return_exceptions=True)


async def _listen(search: Search, node: Node) -> None:
    """Return after an announcement of this Sentinel for our service. Its connection is made again if it breaks."""
    while True:
        connection = asentinel(search.address, node)
        try:
            await connection.connect()
            await connection.send_command("SUBSCRIBE", CHANNEL)
            await connection.read_response()
            connection.socket_timeout = None  # long silence is normal from now on
            while not is_due(connection):
                left_s = due_in_s(connection)
                timeout: dict[str, float] = {} if left_s == math.inf else {"timeout": left_s}
                if _concerns(await connection.read_response(**timeout), search):
                    return
            continue  # its login ends soon, and what is subscribed takes no AUTH
        except (RedisError, OSError) as error:
            logger.debug("Sentinel %s does not let us listen: %s", node, error)
        finally:
            await connection.disconnect(nowait=True)
        await asyncio.sleep(AGAIN_S)


def _concerns(push: Any, search: Search) -> bool:
    """Return whether a push announces a master of our service; note it."""
    if not push or push[0] != b"message":
        return False
    words = push[2].decode().split(" ")
    if len(words) != 5 or words[0] != search.address.service:
        return False
    search.announced(Node(words[3], int(words[4])))
    return True
