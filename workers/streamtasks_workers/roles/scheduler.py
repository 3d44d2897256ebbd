"""Fire schedules at their time, and store those that the app's code declares."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final, NamedTuple, Self

from streamtasks.protocol.shards import schedule_tag
from streamtasks.schedules.definition import Definition
from streamtasks.settings import StoreSettings
from streamtasks.stores.base import SupervisorStore
from streamtasks.stores.schedule_store import DueSchedule, Firing, NewSchedule, Put

from .base import LOOK_S, RoleOnTime

__all__ = ["Declared", "Scheduler"]

logger = logging.getLogger("streamtasks.worker")

AGAIN_S: Final = 10.0
"""A name that was taken is asked for again after so long, seconds: whoever has it may let it go."""

MOST_IN_A_ROW: Final = 10
"""So many definitions are read before others on the event loop have their turn."""


class Declared(NamedTuple):
    """The schedules that an app's code declares on one shard.

    ``loaded_ms`` holds when that code was loaded, ms by the shard's clock; 0: nobody has asked the shard yet. It is the
    same memory for every keeper that a worker ever has.
    """

    label: str
    schedules: Sequence[Definition]
    loaded_ms: memoryview

    @classmethod
    def on_shard(
        cls, tag: str, tags: tuple[str, ...], label: str, schedules: Sequence[Definition], loaded_ms: memoryview
    ) -> Self:
        """Return those of an app's schedules that live on a shard; of ``loaded_ms`` each shard has a place."""
        place = tags.index(tag)
        here = [schedule for schedule in schedules if schedule_tag(schedule.name, tags) == tag]
        return cls(label, here, loaded_ms[place : place + 1])


class Scheduler(RoleOnTime):
    """Schedules of one shard. Any number of workers may do it: the store fires an occurrence once.

    No code of the app is run: a definition says all that is needed of its task. What cannot be read (a newer release
    wrote it) is left to others.
    """

    def __init__(
        self,
        store: SupervisorStore,
        tag: str,
        settings: StoreSettings,
        declared: Declared,
        look_s: float = LOOK_S,
    ) -> None:
        super().__init__(store, tag, look_s)
        self._settings = settings
        self._declared = declared
        self._to_declare = declared.schedules
        self._has_declared = False
        self._declare_at = self._born = time.monotonic()
        self._unreadable: dict[str, int] = {}  # name -> revision

    async def _work(self) -> float | None:
        if self._declare_at <= time.monotonic() and (self._to_declare or not self._has_declared):
            await self._declare()
        while True:
            looked = await self._store.due_schedules(self._tag, self._unreadable)
            if not looked.due:
                return None if looked.next_ms is None else looked.next_ms / 1000
            firings: list[Firing] = []
            for place, due in enumerate(looked.due, 1):
                firing = self._firing(due, looked.now_ms)
                if firing is not None:
                    firings.append(firing)
                if place % MOST_IN_A_ROW == 0:
                    await asyncio.sleep(0)
            await self._store.fire(self._tag, firings)

    def _firing(self, due: DueSchedule, now_ms: int) -> Firing | None:
        """Return what a schedule brings; None, and from now on pass it over, if that cannot be told."""
        try:
            return Definition.decode(due.definition).firing(due, now_ms, self._settings, self._tag)
        except Exception:
            logger.exception("the schedule %r cannot be fired by this worker; it is left to others", due.name)
            self._unreadable[due.name] = due.revision
            return None

    async def _declare(self) -> None:
        """Store what the code declares, and forget what it declared before and does not any more."""
        label = self._declared.label
        now_ms = (await self._store.due_schedules(self._tag)).now_ms
        loaded_ms = self._declared.loaded_ms
        loaded_ms[0] = since_ms = loaded_ms[0] or now_ms - round((time.monotonic() - self._born) * 1000)
        new: dict[str, NewSchedule] = {}
        for schedule in self._to_declare:
            try:
                new[schedule.name] = schedule.new_schedule(now_ms, label, since_ms)
            except Exception:
                logger.exception("the schedule %r of %s is left out", schedule.name, label)
        answers = await self._store.declare_schedules(self._tag, list(new.values()))
        taken = [name for name, put in zip(new, answers, strict=True) if put is Put.TAKEN]
        if not self._has_declared:
            await self._store.undeclare_schedules(self._tag, label, since_ms)
            self._tell(taken, outdated=Put.CONFLICT in answers)
        self._to_declare = [schedule for schedule in self._to_declare if schedule.name in taken]
        self._has_declared, self._declare_at = True, time.monotonic() + AGAIN_S

    def _tell(self, taken: Sequence[str], *, outdated: bool) -> None:
        for name in taken:
            logger.error(
                "the schedule %r of %s is not declared: another app declares that name, or it was created at run time; "
                "give one of them another name, or delete the other one",
                name,
                self._declared.label,
            )
        if outdated:
            logger.warning(
                "schedules of %s were declared by a release that was loaded later; those of this one are left out",
                self._declared.label,
            )
