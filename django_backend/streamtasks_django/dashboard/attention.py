"""What needs attention now, in words: since when, in which queue, and what the first failing task said."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Final, NamedTuple

from streamtasks.operations.failures import Failures
from streamtasks.operations.inspect import QueueView, Status, TaskView, WorkerView

from .formats import moment, span
from .rows import said_by

__all__ = ["BEHIND_MS", "RECENT_MS", "Concern", "concerns"]

BEHIND_MS: Final = 60_000
"""A queue whose oldest task has waited for longer is behind, ms."""

RECENT_MS: Final = 3_600_000
"""Failures of so long ago count, ms."""


class Concern(NamedTuple):
    """Something that needs attention.

    Attributes:
        meaning: ``bad`` or ``warn``.
        text: the sentence.
        queue: that it is about; empty: none.
        task_id: of the task to look at; empty: none.
        quote: what that task said.
    """

    meaning: str
    text: str
    queue: str = ""
    task_id: str = ""
    quote: str = ""


def concerns(found: Status, failed: Failures | None, workers: Sequence[WorkerView], roles: Set[str]) -> list[Concern]:
    """Return what needs attention, the worst first. Pure: nothing is asked.

    Args:
        found: the status of the store.
        failed: what failed in the last hour; None: it cannot be listed.
        workers: those that are registered.
        roles: of who looks.
    """
    silent = [one.info for one in workers if not one.info.is_live]
    all_found = [
        *(() if failed is None else _failures(failed, roles)),
        *(concern for queue in found.queues for concern in _queue(queue)),
        *_pauses(found),
        *(
            Concern("warn", f"Worker {info.name} has been silent for {span(info.silent_ms)}; its tasks are taken over.")
            for info in silent[:5]
        ),
    ]
    if failed is None:
        all_found.append(Concern("warn", "This backend lists no tasks: whether any has failed is not known here."))
    if not found.workers and found.unfinished:
        count = _count(found.unfinished, "task has no outcome", "tasks have no outcome")
        all_found.append(Concern("bad", f"No worker is alive, and {count} yet."))
    if found.overdue_ms > BEHIND_MS:
        all_found.append(Concern("bad", f"Schedules are overdue for {span(found.overdue_ms)}."))
    return sorted(all_found, key=lambda one: one.meaning != "bad")


def _failures(failed: Failures, roles: Set[str]) -> list[Concern]:
    by_queue: dict[str, list[TaskView]] = {}
    for one in failed.tasks:
        by_queue.setdefault("" if one.message is None else one.message.queue, []).append(one)
    least = "" if failed.is_complete else "at least "
    looked_at = len(failed.tasks)
    all_found: list[Concern] = []
    for queue, some in by_queue.items():
        first = some[-1]  # the newest come first
        name = "" if first.message is None else first.message.task
        where = f"queue {queue}" if queue else "a queue that cannot be read"
        since = moment(first.snapshot.finished_ms)
        if looked_at == failed.number:
            text = f"{least}{_count(len(some), 'task', 'tasks')} of {where} failed in the last hour, the first of them"
        else:
            text = f"{least}{failed.number} tasks failed in the last hour; of {looked_at} that were looked at, "
            text += f"{len(some)} {'is' if len(some) == 1 else 'are'} of {where}, the first of them"
        known = "" if failed.is_complete else " that is known"
        text = f"{text[0].upper()}{text[1:]}{known} at {since}: {name} said"
        all_found.append(Concern("bad", text, queue, first.id, said_by(first, roles)))
    return all_found


def _queue(one: QueueView) -> list[Concern]:
    if not one.ready or one.paused is not None:
        return []
    waiting = f"{_count(one.ready, 'task waits', 'tasks wait')}, the oldest for {span(one.oldest_ms)}"
    if not one.workers:
        return [Concern("bad", f"No worker serves queue {one.queue}: {waiting}.", one.queue)]
    if one.oldest_ms > BEHIND_MS:
        return [Concern("warn", f"Queue {one.queue} is behind: {waiting}.", one.queue)]
    return []


def _pauses(found: Status) -> list[Concern]:
    all_found: list[Concern] = []
    for one in found.pauses:
        what = "Everything" if one.is_everything else f"Queue {one.queue}" if one.queue else f"Task {one.task}"
        why = f" ({one.reason})" if one.reason else ""
        all_found.append(
            Concern("warn", f"{what} is paused since {moment(one.since_ms)}, by {one.actor}{why}.", one.queue)
        )
    return all_found


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
