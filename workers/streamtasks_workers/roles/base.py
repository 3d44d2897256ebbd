"""Roles: background duties of a keeper, each with a ``run_once``, and the app for which they work."""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Self

from streamtasks.application import Application, Relay
from streamtasks.protocol.jitter import RANDOM
from streamtasks.schedules.definition import Definition
from streamtasks.settings import StoreSettings
from streamtasks.stores.owner import Owner
from streamtasks.stores.supervisor_store import SupervisorStore

from ..process.board import Board
from ..process.log_ring import LogRing
from ..process.options import WorkerOptions
from ..process.shard_table import ShardTable
from ..process.worker_counters import WorkerCounters
from .watched_child import WatchedChild

__all__ = ["RARE_S", "DueRole", "Role", "ServedApp"]

RARE_S: Final = 900.0
"""With several shards each role asks by itself so often, seconds: beats say what comes, see `Heartbeat`."""


MOST_ENDED: Final = 32
"""So many children that have ended are remembered."""


def _nobody(tag: str, word: str) -> None:
    """Stand in for `ServedApp.wake` where roles do not run by themselves."""


def _no_growth(tags: Sequence[str]) -> None:
    """Stand in for `ServedApp.ask_growth` where roles run without a supervisor."""


def _no_supervisor(request: str) -> None:
    """Stand in for `ServedApp.ask_supervisor` where roles run without one."""


@dataclass(slots=True, eq=False)
class ServedApp:
    """One app as its roles see it.

    Attributes:
        label: how logs name it.
        settings: of its store.
        store: the calls of a keeper.
        options: of the worker that serves it.
        worker: the worker's name.
        schedules: what the app's code declares.
        loaded_ms: one word for each shard, see `Scheduler`.
        project: what declares its schedules, as `Application.project_name`; empty: the label.
        release: of the project's code, empty: unknown.
        tasks: names of those that it knows.
        listens: whether something in it is called with the end of every task.
        companion: the command of a process that runs beside the keeper; empty: there is none.
        children: those that live, by the numbers of their boards.
        table: what is known of its shards, if there are several.
        relay: moves messages from elsewhere to its store.
        owner: of its tasks, for bulk operations; None: none are applied.
        wake: wakes the roles of a shard that a word of control messages wakes.
        counters: of attempts, for metrics and charts; None: there is no worker.
        counted: numbers of the boards whose counts are yet to be taken for charts; see `SeriesRecorder`.
        beats: when the last sign of life reached each shard, monotonic seconds.
        rings: where its children, also those that have ended, put what attempts log, by the numbers of their boards.
        request: what the worker was asked to do by its store, ``"drain"`` or ``"stop"``; empty: nothing.
        ask_supervisor: passes such a request on.
        ask_growth: has keeper and children replaced by others that serve all of these shards.
        heard_at: when a push last came from each shard, monotonic seconds.
        ended: names of children that have ended lately; what they held is settled or handed back.
    """

    label: str
    settings: StoreSettings
    store: SupervisorStore
    options: WorkerOptions
    worker: str = ""
    schedules: Sequence[Definition] = ()
    loaded_ms: memoryview | None = None
    project: str = ""
    release: str = ""
    tasks: Sequence[str] = ()
    listens: bool = False
    companion: Sequence[str] = ()
    children: dict[int, WatchedChild] = field(default_factory=dict)
    table: ShardTable | None = None
    wake: Callable[[str, str], None] = _nobody
    relay: Relay | None = None
    owner: Owner | None = None
    counters: WorkerCounters | None = None
    counted: set[int] = field(default_factory=set)
    beats: dict[str, float] = field(default_factory=dict)
    heard_at: dict[str, float] = field(default_factory=dict)
    rings: dict[int, LogRing] = field(default_factory=dict)
    request: str = ""
    ask_supervisor: Callable[[str], None] = _no_supervisor
    ask_growth: Callable[[Sequence[str]], None] = _no_growth
    ended: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_ENDED))

    @classmethod
    def of(
        cls,
        app: Application,
        settings: StoreSettings,
        store: SupervisorStore,
        options: WorkerOptions,
        schedules: Sequence[Definition],
        loaded_ms: memoryview,
        *,
        worker: str = "",
        table: ShardTable | None = None,
    ) -> Self:
        """Return an app for its roles; see the attributes."""
        return cls(
            app.label,
            settings,
            store,
            options,
            worker,
            schedules,
            loaded_ms,
            project=app.project_name,
            release=options.release or os.environ.get("STREAMTASKS_RELEASE", ""),
            tasks=app.task_names(),
            listens=app.listens_to_ends,
            companion=app.companion,
            table=table,
            relay=app.relay(),
            owner=app.owner,
        )

    @property
    def tags(self) -> tuple[str, ...]:
        """Its shards."""
        return self.settings.tags

    @property
    def boards(self) -> list[Board]:
        """The boards of its living children."""
        return [child.board for child in self.children.values()]


class Role(ABC):
    """One background duty. Any number of workers may do it at the same time.

    Attributes:
        per_shard: whether each shard of an app has one of its own; else there is one per app, without a tag.
        wake_on: the first word of the control messages that wake it; empty: none does.
        interval_s: it runs at least this often, seconds, in case a control message was lost.
    """

    per_shard: ClassVar[bool] = True
    wake_on: ClassVar[str] = ""

    def __init__(self, app: ServedApp, tag: str = "") -> None:
        self.app = app
        self.tag = tag
        self.store = app.store
        self.interval_s = app.settings.idle_poll_s if len(app.settings.tags) == 1 else RARE_S
        self._woken = asyncio.Event()

    @classmethod
    def serves(cls, app: ServedApp) -> bool:  # noqa: ARG003 - for roles that not every app needs
        """Return whether an app needs it."""
        return True

    @abstractmethod
    async def run_once(self) -> float | None:
        """Do what is due; return seconds until there is more, None: nothing is known to come before the interval.

        Raises:
            StoreError: the store could not be reached; it is run again soon.
        """

    def heard(self, tag: str, text: str) -> None:  # noqa: ARG002 - for roles that need more than the first word
        """Take in a control message that begins with `wake_on`."""
        self.wake()

    def missed(self, tag: str) -> None:  # noqa: ARG002 - for roles that look at several shards
        """Note that control messages of a shard may have been lost; empty: of any.

        With several shards the next beats say what came meanwhile, and wake the roles of the shards that it concerns.
        """
        if self.wake_on and not self._lives_by_beats:
            self.wake()

    def first_s(self) -> float:
        """Return when it runs first, seconds from now: at once, or at some time if beats say what comes before."""
        return self.interval_s * RANDOM.random() if self._lives_by_beats else 0.0

    @property
    def _lives_by_beats(self) -> bool:
        return self.per_shard and len(self.app.tags) > 1

    def wake(self) -> None:
        """Let it run now."""
        self._woken.set()

    def wake_for(self, tag: str) -> None:  # noqa: ARG002 - for roles that look at several shards
        """Let it run now, because a beat showed that something comes on a shard."""
        self.wake()

    async def sleep(self, wait_s: float | None) -> None:
        """Sleep until its next run: ``wait_s`` seconds, None: the interval with some jitter; or until it is woken."""
        if wait_s is None:
            wait_s = self.interval_s * (0.8 + 0.4 * RANDOM.random())
        try:
            async with asyncio.timeout(min(wait_s, self.interval_s * 1.2)):
                await self._woken.wait()
        except TimeoutError:
            return
        finally:
            self._woken.clear()

    async def leave(self) -> None:  # noqa: B027 - most roles have nothing to do
        """Do what has to be done when the worker stops."""


class DueRole(Role):
    """A role whose work comes at times that the store knows; the in-process worker has these roles as well.

    Attributes:
        recurs: whether there is always a next time, so that it is nothing to wait for.
    """

    recurs: ClassVar[bool] = False

    async def run_once(self) -> float | None:
        """See `Role.run_once`."""
        wait_s = await self.work()
        return self.interval_s if wait_s is None else min(wait_s, self.interval_s)

    @abstractmethod
    async def work(self) -> float | None:
        """Do what is due; return seconds until there is more, None: nothing is known to come."""
