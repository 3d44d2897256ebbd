"""Fire schedules at their time, and store those that the app's code declares."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from streamtasks.protocol.shards import schedule_tag
from streamtasks.schedules.definition import Definition
from streamtasks.stores.schedule_store import SILENT_MS, DueSchedule, Firing, NewSchedule, PutResult

from .base import RARE_S, DueRole, ServedApp

__all__ = ["Scheduler"]

logger = logging.getLogger("streamtasks.worker")

AGAIN_S: Final = 10.0
"""Schedules are declared again after so long, seconds."""

STEP_MS: Final = 1000
"""The store's clock was set back if it lacks more than this, ms."""

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
        self._unstorable: set[str] = set()  # names of those that cannot be declared
        self._wire = app.settings.wire
        self._declared: dict[str, PutResult] = {}
        self._declare_at = self._born = time.monotonic()
        self._unreadable: dict[str, int] = {}  # name -> revision
        self._least_ahead_ms = 0.0  # the store's clock is so much ahead of the monotonic one, or more
        self._clock_went_back = True  # it may have, before this keeper started

    def first_s(self) -> float:
        """Run at once: nobody else declares."""
        return 0.0

    def missed(self, tag: str) -> None:
        """Declare again at once as well, where there is something to declare: the server may be empty now."""
        super().missed(tag)
        if self._declared:
            self.wake()

    async def work(self) -> float | None:
        """See `DueRole.work`."""
        if self._declare_at <= time.monotonic():
            await self._declare()
        while True:
            asked_ms = time.monotonic() * 1000
            looked = await self.store.due_schedules(self.tag, self._unreadable)
            if looked.now_ms - asked_ms < self._least_ahead_ms - STEP_MS:
                self._clock_went_back = True
            self._least_ahead_ms = looked.now_ms - time.monotonic() * 1000
            if self._clock_went_back:
                await self._bring_forward(looked.now_ms)
                self._clock_went_back = False
                continue
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

    async def _bring_forward(self, now_ms: int) -> None:
        """Bring occurrences forward that lie further ahead than the next one of their rule.

        They were stored by a clock that went back. One that comes again has the id that it had: it is enqueued once.
        """
        moved, after = 0, ""
        while some := await self.store.shard_schedules(self.tag, after):
            after = some[-1].name
            firings: list[Firing] = []
            for stored in some:
                if stored.next_ms is None or stored.paused:
                    continue
                await asyncio.sleep(0)
                try:
                    next_ms = Definition.decode(stored.definition, stored.name, self._wire).rule.next_ms(now_ms)
                except Exception:
                    logger.debug("the schedule %r cannot be read by this worker", stored.name, exc_info=True)
                    continue
                if next_ms < stored.next_ms:
                    firings.append(Firing(stored.name, stored.revision, stored.next_ms, next_ms, []))
            moved += sum(await self.store.fire(self.tag, firings)) if firings else 0
        if moved:
            logger.warning("%d schedules lay too far ahead, because the clock went back: brought forward", moved)

    def _firing(self, due: DueSchedule, now_ms: int) -> Firing | None:
        """Return what a schedule enqueues; None, and skip it from now on, if its definition cannot be read."""
        try:
            return Definition.decode(due.definition, due.name, self._wire).firing(
                due, now_ms, self.app.settings, self.tag
            )
        except Exception:
            logger.exception("the schedule %r cannot be fired by this worker; it is left to others", due.name)
            self._unreadable[due.name] = due.revision
            return None

    def _to_declare(self) -> list[Definition]:
        """Return those of this shard; which they are is known once the store has returned which shards came first."""
        app = self.app
        mine = (one for one in app.schedules if schedule_tag(one.name, app.tags) == self.tag)
        return [one for one in mine if one.name not in self._unstorable]

    async def _declare(self) -> None:
        """Store what the code declares, again and again: a server may have lost it, and what nobody declares goes."""
        project, release = self.app.project or self.app.label, self.app.release
        now_ms = (await self.store.due_schedules(self.tag)).now_ms
        loaded_ms = self._loaded_ms
        born_ms = now_ms - round((time.monotonic() - self._born) * 1000)
        if not loaded_ms[0] or loaded_ms[0] > born_ms + STEP_MS:  # later only if the clock went back
            loaded_ms[0] = born_ms
        since_ms = loaded_ms[0]
        new: dict[str, NewSchedule] = {}
        for place, schedule in enumerate(self._to_declare(), 1):
            try:
                new[schedule.name] = schedule.new_schedule(now_ms, self._wire, project, since_ms, release)
            except Exception:
                logger.exception("the schedule %r of %s is left out", schedule.name, project)
                self._unstorable.add(schedule.name)
            if place % MOST_IN_A_ROW == 0:
                await asyncio.sleep(0)
        for name, put in zip(new, await self.store.declare_schedules(self.tag, list(new.values())), strict=True):
            self._log(name, put, project)
        if time.monotonic() - self._born > SILENT_MS / 1000:  # by then all that live have declared theirs
            for name in await self.store.undeclare_schedules(self.tag, project):
                logger.warning("the schedule %r of %s is deleted: no worker has declared it lately", name, project)
        self._declare_at = time.monotonic() + AGAIN_S
        if len(self.app.tags) > 1:
            self.interval_s = SILENT_MS / 2000 if new else RARE_S

    def _log(self, name: str, put: PutResult, project: str) -> None:
        """Log what became of a declaration, if it is not what became of it before."""
        known, self._declared[name] = self._declared.get(name), put
        if put is PutResult.STORED and known is not None:
            logger.warning(
                "the schedule %r of %s is stored anew: the server had lost it, or had another definition", name, project
            )
        elif put is known:
            return
        elif put is PutResult.TAKEN:
            logger.error(
                "the schedule %r of %s is not declared: another project declares that name, or it was created at run "
                "time; give one of them another name, or delete the other one",
                name,
                project,
            )
        elif put is PutResult.CONFLICT:
            logger.warning(
                "the schedule %r of %s is left out: a later release counts, which declares it otherwise or not at all",
                name,
                project,
            )
