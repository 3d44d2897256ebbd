"""Fire schedules at their time, and store those that the app's code declares."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

from streamtasks.protocol.shards import schedule_tag
from streamtasks.schedules.definition import Definition
from streamtasks.stores.schedule_store import DueSchedule, Firing, NewSchedule, PutResult

from .base import DueRole, ServedApp

__all__ = ["Scheduler"]

logger = logging.getLogger("streamtasks.worker")

AGAIN_S: Final = 10.0
"""A name that was taken is declared again after so long, seconds: its holder may have deleted it."""

MOST_IN_A_ROW: Final = 10
"""So many definitions are read before the event loop goes on with other work."""


class Scheduler(DueRole):
    """Schedules of one shard. The store fires an occurrence once, however many workers ask for it.

    No code of the app is run: a definition holds all that is needed of its task. One that cannot be read (a newer
    release wrote it) is left to other workers.

    The word of its shard in `ServedApp.loaded_ms` holds when the code that declares schedules was loaded, ms by the
    shard's clock; 0: the shard was not yet asked. It is the same memory for every keeper that a worker ever has.
    """

    wake_on = "schedule"
    recurs = True

    def __init__(self, app: ServedApp, tag: str) -> None:
        super().__init__(app, tag)
        place = app.tags.index(tag)
        self._loaded_ms = (
            memoryview(bytearray(8)).cast("Q") if app.loaded_ms is None else app.loaded_ms[place : place + 1]
        )
        self._to_declare = [one for one in app.schedules if schedule_tag(one.name, app.tags) == tag]
        self._has_declared = False
        self._declare_at = self._born = time.monotonic()
        self._unreadable: dict[str, int] = {}  # name -> revision

    async def work(self) -> float | None:
        """See `DueRole.work`."""
        if self._declare_at <= time.monotonic() and (self._to_declare or not self._has_declared):
            await self._declare()
        while True:
            looked = await self.store.due_schedules(self.tag, self._unreadable)
            if not looked.due:
                return None if looked.next_ms is None else looked.next_ms / 1000
            firings: list[Firing] = []
            for place, due in enumerate(looked.due, 1):
                firing = self._firing(due, looked.now_ms)
                if firing is not None:
                    firings.append(firing)
                if place % MOST_IN_A_ROW == 0:
                    await asyncio.sleep(0)
            await self.store.fire(self.tag, firings)

    def _firing(self, due: DueSchedule, now_ms: int) -> Firing | None:
        """Return what a schedule enqueues; None, and skip it from now on, if its definition cannot be read."""
        try:
            return Definition.decode(due.definition).firing(due, now_ms, self.app.settings, self.tag)
        except Exception:
            logger.exception("the schedule %r cannot be fired by this worker; it is left to others", due.name)
            self._unreadable[due.name] = due.revision
            return None

    async def _declare(self) -> None:
        """Store what the code declares, and delete what it declared before and does not any more."""
        label = self.app.label
        now_ms = (await self.store.due_schedules(self.tag)).now_ms
        loaded_ms = self._loaded_ms
        loaded_ms[0] = since_ms = loaded_ms[0] or now_ms - round((time.monotonic() - self._born) * 1000)
        new: dict[str, NewSchedule] = {}
        for schedule in self._to_declare:
            try:
                new[schedule.name] = schedule.new_schedule(now_ms, label, since_ms)
            except Exception:
                logger.exception("the schedule %r of %s is left out", schedule.name, label)
        answers = await self.store.declare_schedules(self.tag, list(new.values()))
        taken = [name for name, put in zip(new, answers, strict=True) if put is PutResult.TAKEN]
        if not self._has_declared:
            await self.store.undeclare_schedules(self.tag, label, since_ms)
            self._log(taken, outdated=PutResult.CONFLICT in answers)
        self._to_declare = [schedule for schedule in self._to_declare if schedule.name in taken]
        self._has_declared, self._declare_at = True, time.monotonic() + AGAIN_S

    def _log(self, taken: Sequence[str], *, outdated: bool) -> None:
        for name in taken:
            logger.error(
                "the schedule %r of %s is not declared: another app declares that name, or it was created at run time; "
                "give one of them another name, or delete the other one",
                name,
                self.app.label,
            )
        if outdated:
            logger.warning(
                "schedules of %s were declared by a release that was loaded later; those of this one are left out",
                self.app.label,
            )
