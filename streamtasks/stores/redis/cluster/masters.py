"""Which master has which shard: the map of a Cluster, asked for when an error says that it has changed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator, Iterable, Sequence
from typing import Any, Final

from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from ....exceptions import ConfigurationError
from ....protocol.jitter import RANDOM
from ....settings import StoreSettings
from ...backoff import Backoff
from ..connections import new_async_connection, new_connection, note_server
from ..faults import fault_of
from ..nodes import Node, master_settings, start_nodes

__all__ = ["Masters", "masters_of"]

LOOK_S: Final = 2.0
"""How long one node may take to say how the slots are divided, seconds: there are others."""

AGAIN_S: Final = 0.1
"""The map is asked for at most this often, seconds."""

FAILED_S: Final = 0.5
"""After some failures it is asked for only so often, seconds; a node that cannot be reached is tried as often."""

type _Range = tuple[int, int, Node]
"""First slot, last slot, their master."""

type Look = Generator[Node, Any]
"""Yields nodes to ask for the slots, and is sent their replies, or errors."""


class _Absence:
    """Why something could not be reached lately, and from when on it is tried again."""

    def __init__(self) -> None:
        self._backoff = Backoff(AGAIN_S, FAILED_S)
        self._error: Exception | None = None
        self._until = 0.0

    def begin(self, error: Exception) -> None:
        """Note that a try has failed."""
        self._error, self._until = error, time.monotonic() + self._backoff.next_s()

    def end(self) -> None:
        """Note that one has succeeded."""
        self._error = None
        self._backoff.reset()

    def error(self) -> Exception | None:
        """Return what a try would raise now, without trying; None: try."""
        if self._error is None or time.monotonic() >= self._until:
            return None
        return type(self._error)(*self._error.args)


class Masters:
    """The masters of one Cluster, as this process knows them. May be shared between threads and event loops."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._start_nodes = start_nodes(settings)
        self._slots: dict[str, int] = {}  # of the tags that were asked for
        self._own_slots: list[int] = []  # of all shards
        self._of_tag: dict[str, StoreSettings] = {}
        self._ranges: list[tuple[int, int, StoreSettings]] = []  # first slot, last slot, their master
        self._of_node: dict[Node, StoreSettings] = {}
        self._nodes: tuple[Node, ...] = ()
        self._is_stale = True
        self._look_at = 0.0  # monotonic seconds
        self._absences: dict[str, _Absence] = {}
        self._no_node = _Absence()

    def of(self, tag: str) -> StoreSettings:
        """Return how the master of a shard is reached.

        Raises:
            RedisConnectionError: no node serves its slot, as far as is known.
        """
        found = self._of_tag.get(tag)
        if found is not None:
            return found
        slot = self._slots[tag] = key_slot(tag.encode())
        for start, end, settings in self._ranges:
            if start <= slot <= end:
                self._of_tag[tag] = settings
                return settings
        self._is_stale = True
        where = ", ".join(map(str, self._start_nodes))
        raise RedisConnectionError(f"no node of the Cluster at {where} serves slot {slot}")

    def each(self) -> list[StoreSettings]:
        """Return how each master is reached, as far as they are known; also those that have none of the shards."""
        return [self._settings_of(node) for node in self._nodes]

    @property
    def wants_look(self) -> bool:
        """Whether the slots must be asked for before calls are sent."""
        return self._is_stale and (time.monotonic() >= self._look_at or not self._ranges)

    def note(self, error: BaseException) -> None:
        """Take in an error of a call: it may say that a slot is elsewhere, or that nobody knows where."""
        if isinstance(error, MovedError):
            host = error.host or ""
            for tag, slot in self._slots.items():
                if slot == error.slot_id and host:
                    self._of_tag[tag] = self._settings_of(Node(host, error.port))
            self._is_stale = True
        elif fault_of(error).remaps and not isinstance(error, AskError):
            self._is_stale = True

    def absence(self, master: str) -> Exception | None:
        """Return why a master cannot be reached if that was found out just now, else None: it is tried.

        A keeper has more than a hundred loops, each of which tries again: they do not all connect.
        """
        absence = self._absences.get(master)
        return None if absence is None else absence.error()

    def note_reached(self, master: str, error: Exception | None) -> None:
        """Note whether a master could be reached; ``error``: why not."""
        if error is not None:
            self._absences.setdefault(master, _Absence()).begin(error)
        elif self._absences and (absence := self._absences.get(master)) is not None:
            absence.end()

    def look(self) -> Look:
        """Ask one node after the other for the slots, those that are masters first, until one knows who has our shards.

        If none does, what the best of them knows counts: calls for other shards are repeated, and nodes asked again.

        Raises:
            ConfigurationError: a node is no member of a Cluster.
            RedisConnectionError: none of them answers, or none did just now.
        """
        if (error := self._no_node.error()) is not None:
            raise error
        self._look_at = time.monotonic() + AGAIN_S
        known = list(self._nodes)
        RANDOM.shuffle(known)
        errors, refused = [], None
        partial: list[_Range] = []
        for node in dict.fromkeys([*known, *self._start_nodes]):
            reply = yield node
            if isinstance(reply, ResponseError) and "cluster support disabled" in str(reply):
                raise ConfigurationError(f"{node} is no node of a Cluster: give its address as redis://{node}/0.")
            if isinstance(reply, Exception):
                fault = fault_of(reply)
                if fault.refused or fault.untrusted:
                    note_server(reply, str(node))
                    refused = refused or reply
                errors.append(f"{node}: {reply}")
            elif not (ranges := self._ranges_in(node, reply)):
                errors.append(f"{node} knows of no slots")
            elif self._lacking(ranges):
                # It may have joined just now, or be cut off: another node may know more.
                partial = min(partial or ranges, ranges, key=self._lacking)
            else:
                self._take(ranges)
                return
        if partial:
            self._take(partial)
            return
        if refused is not None:
            raise refused
        nobody = RedisConnectionError(f"no node of the Cluster answers: {'; '.join(errors)}")
        self._no_node.begin(nobody)
        raise nobody

    def _ranges_in(self, asked: Node, reply: Iterable[Any]) -> list[_Range]:
        """Return what a node has replied to CLUSTER SLOTS."""
        ranges = []
        for start, end, master, *_ in reply:
            host = (master[0] or b"").decode() if not isinstance(master[0], str) else master[0]
            ranges.append((start, end, Node(host if host and host != "?" else asked.host, master[1])))
        return ranges

    def _lacking(self, ranges: Sequence[_Range]) -> int:
        """Return for how many of our shards nobody is named there."""
        if not self._own_slots:
            self._own_slots = [key_slot(tag.encode()) for tag in self._settings.tags]
        return sum(not any(start <= slot <= end for start, end, _ in ranges) for slot in self._own_slots)

    def _take(self, ranges: Sequence[_Range]) -> None:
        self._ranges = [(start, end, self._settings_of(node)) for start, end, node in ranges]
        self._of_tag = {}
        self._nodes = tuple(dict.fromkeys(node for _, _, node in ranges))
        self._is_stale = False
        self._no_node.end()

    def _settings_of(self, node: Node) -> StoreSettings:
        found = self._of_node.get(node)
        if found is None:
            found = self._of_node[node] = master_settings(self._settings, node)
        return found

    def refresh(self) -> None:
        """Learn how the slots are divided.

        Raises:
            RedisConnectionError: no node answers.
        """
        steps = self.look()
        try:
            node = next(steps)
            while True:
                node = steps.send(self._ask(node))
        except StopIteration:
            return

    async def arefresh(self) -> None:
        """Do the same on an event loop."""
        steps = self.look()
        try:
            node = next(steps)
            while True:
                node = steps.send(await self._aask(node))
        except StopIteration:
            return

    def _ask(self, node: Node) -> Any:
        connection: Any = new_connection(self._settings_of(node))
        connection.socket_timeout = connection.socket_connect_timeout = LOOK_S
        try:
            connection.connect()
            connection.send_command("CLUSTER", "SLOTS")
            return connection.read_response()
        except Exception as error:  # noqa: BLE001 - `look` decides
            return error
        finally:
            connection.disconnect()

    async def _aask(self, node: Node) -> Any:
        connection: Any = new_async_connection(self._settings_of(node))
        connection.socket_timeout = connection.socket_connect_timeout = LOOK_S
        try:
            await connection.connect()
            await connection.send_command("CLUSTER", "SLOTS")
            return await connection.read_response()
        except Exception as error:  # noqa: BLE001 - `look` decides
            return error
        finally:
            await connection.disconnect(nowait=True)


_known: dict[tuple[int, StoreSettings, str], Masters] = {}
_lock = threading.Lock()


def masters_of(settings: StoreSettings) -> Masters:
    """Return this process's map of the Cluster of these settings."""
    key = (os.getpid(), settings, repr(sorted(settings.connection.items())))
    found = _known.get(key)
    if found is None:
        with _lock:
            found = _known.setdefault(key, Masters(settings))
    return found
