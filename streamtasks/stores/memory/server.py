"""A server in memory: the shards of one process, a lock, and listeners.

Many stores may share one `MemoryServer`, as many clients share a Redis: each brings its own settings.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Final
from urllib.parse import parse_qs, urlsplit

from ...exceptions import ConfigurationError, StoreFull
from ...protocol.validation import check_count
from ...settings import StoreSettings
from ..types import NewMessage
from .clock import Clock
from .shard import Shard

__all__ = ["SCHEME", "Listener", "MemoryServer"]

SCHEME: Final = "memory"

type Listener = Callable[[str, str, str], None]
"""Called with (channel, tag, text) after a step, in whatever thread took it; must be quick and take no lock of ours."""


class MemoryServer:
    """An in-process server: its shards, clock, lock and listeners.

    Args:
        clock: tells the time; default: the system's.
        max_tasks: most unfinished tasks, and most finished ones that are remembered; ``None``: no bound.
    """

    _named: Final[dict[str, MemoryServer]] = {}
    _named_lock: Final = threading.Lock()

    def __init__(self, clock: Clock | None = None, max_tasks: int | None = None) -> None:
        if max_tasks is not None:
            check_count("max_tasks", max_tasks, ConfigurationError, least=1)
        self.clock = clock or Clock()
        self.max_tasks = max_tasks
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.listeners: list[Listener] = []
        self.captures: list[Callable[[NewMessage], None]] = []
        self._shards: dict[tuple[str, str], Shard] = {}
        self._waiting: list[Waiter] = []
        self.clock.watch(self._clock_moved)

    @classmethod
    def at(cls, url: str) -> MemoryServer:
        """Return the server of a URL, ``memory://[name][?max_tasks=1000]``: one per name in a process.

        Raises:
            ConfigurationError: the URL holds something else, or another ``max_tasks`` than before.
        """
        parts = urlsplit(url)
        options = parse_qs(parts.query, keep_blank_values=True)
        text = options.pop("max_tasks", [""])[-1]
        if parts.scheme != SCHEME or options or (text and not text.isdigit()):
            raise ConfigurationError(f"url is {url!r}; write memory://, memory://name or memory://name?max_tasks=1000.")
        max_tasks = int(text) if text else None
        with cls._named_lock:
            name = f"{parts.netloc}{parts.path}".rstrip("/")
            found = cls._named.get(name)
            if found is None:
                found = cls._named[name] = cls(max_tasks=max_tasks)
            elif max_tasks is not None and found.max_tasks != max_tasks:
                raise ConfigurationError(
                    f"url is {url!r}, but the store memory://{name} exists with max_tasks={found.max_tasks}; "
                    "give the two different names, or the same max_tasks."
                )
            return found

    @classmethod
    def discard(cls, url: str) -> None:
        """Delete the server of a URL, with all that it holds; nobody should use it any more."""
        parts = urlsplit(url)
        with cls._named_lock:
            cls._named.pop(f"{parts.netloc}{parts.path}".rstrip("/"), None)

    def shard(self, settings: StoreSettings, tag: str) -> Shard:
        """Return one shard of a store with these settings; only inside a `step`."""
        found = self._shards.get((settings.key_prefix, tag))
        if found is None:
            found = self._shards[settings.key_prefix, tag] = Shard(tag, self.clock, settings, self._accepted)
        found.settings = settings
        return found

    @contextmanager
    def step(self) -> Generator[None]:
        """Make one change atomic; its pushes are sent at the end."""
        pushed: list[tuple[str, str, str]] = []
        with self.lock:
            try:
                yield
            finally:
                for shard in self._shards.values():
                    pushed += ((channel, shard.tag, text) for channel, text in shard.pushes)
                    shard.pushes.clear()
                if self._waiting:
                    self._wake()
                self._delete_beyond()
                self.changed.notify_all()
        for channel, tag, text in pushed:
            for listener in list(self.listeners):
                listener(channel, tag, text)

    def flush(self) -> None:
        """Delete everything and reset the clock."""
        with self.lock:
            self._shards.clear()
            self.clock.reset()
            self.changed.notify_all()

    def make_room(self, shards: Sequence[Shard], messages: Sequence[NewMessage]) -> None:
        """Check that there is room for messages; ``shards`` are theirs, in the same order.

        Raises:
            StoreFull: there would be more than ``max_tasks`` unfinished ones.
        """
        if self.max_tasks is None:
            return
        unfinished = sum(len(shard.live) for shard in self._shards.values())
        new = {
            message.id
            for shard, message in zip(shards, messages, strict=True)
            if message.id not in shard.live and shard.record(message.id) is None
        }
        if unfinished + len(new) > self.max_tasks:
            raise StoreFull(
                f"{unfinished} tasks are unfinished in memory and {len(new)} more were to be enqueued; max_tasks is "
                f"{self.max_tasks}. Nothing was stored. Let some finish (run_until_idle() in tests), or raise it."
            )

    def _delete_beyond(self) -> None:
        """Delete the oldest finished tasks if more than ``max_tasks`` are remembered."""
        if self.max_tasks is None:
            return
        for shard in self._shards.values():
            while len(shard.records) > self.max_tasks:
                del shard.records[next(iter(shard.records))]
            if len(shard.workflows) > self.max_tasks:
                for workflow_id, workflow in list(shard.workflows.items())[: len(shard.workflows) - self.max_tasks]:
                    if workflow.expires_ms:
                        del shard.workflows[workflow_id]

    # -- children that wait --------------------------------------------------------------------------

    def wait(self, waiter: Waiter) -> None:
        """Register a child that waits; it takes a wake token that is there already at once."""
        with self.step():
            self._waiting.append(waiter)

    def stop_waiting(self, waiter: Waiter) -> None:
        """Remove a child that waits."""
        with self.lock:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def _wake(self) -> None:
        for waiter in list(self._waiting):
            shard = self.shard(waiter.settings, waiter.tag)
            woken_by = next((queue for queue in waiter.queues if queue in shard.wakes), None)
            if woken_by is not None:
                shard.wakes.discard(woken_by)
                self._waiting.remove(waiter)
                waiter.woken()

    def _accepted(self, message: NewMessage) -> None:
        for capture in self.captures:
            capture(message)

    def _clock_moved(self) -> None:
        with self.lock:
            self.changed.notify_all()
        for listener in list(self.listeners):
            listener("clock", "", "")


class Waiter:
    """A child that waits for the wake token of one of these queues; ``woken`` is called once."""

    def __init__(self, settings: StoreSettings, tag: str, queues: tuple[str, ...], woken: Callable[[], None]) -> None:
        self.settings = settings
        self.tag = tag
        self.queues = queues
        self.woken = woken
