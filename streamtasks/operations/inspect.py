"""Look at an app's tasks, queues and workers: data for command line, dashboards and the like. Nothing is changed.

Each takes a `Store` first; on an event loop ``await status.awaiting(store)`` takes an `AsyncStore`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..exceptions import DecodeError, InvalidTask
from ..protocol.keys import check_id
from ..protocol.log_lines import TaskLogs
from ..protocol.message import Message, split_body
from ..protocol.state import FINAL_STATES, DeadLetter, Snapshot, State
from ..protocol.wire import Wire
from ..results.snapshot_view import error_of, outcome_of, shown_state
from ..stores.inspection_types import Active, Statistics, WorkerInfo
from ..stores.letter_cursor import cursor_behind
from ..stores.measure_types import Measures, QueueMeasure
from ..stores.steering_types import Pause
from .store_calls import Steps, StoreOperation, ask
from .views import LetterPage, QueueView, Status, TaskPage, TaskView, WorkerView

__all__ = [
    "OUTCOMES",
    "STATES",
    "LetterPage",
    "QueueView",
    "Status",
    "TaskPage",
    "TaskView",
    "WorkerView",
    "dead_letter",
    "dead_letter_at",
    "dead_letters",
    "is_in",
    "logs",
    "message_of",
    "queues",
    "running_by_worker",
    "status",
    "task",
    "task_of",
    "tasks",
    "view_of",
    "workers",
]

OUTCOMES: Final = {
    "finished": tuple(sorted(FINAL_STATES)),
    "succeeded": (State.SUCCESS, State.IGNORED),
    "failed": (State.FAILURE, State.DEAD),
    "revoked": (State.REVOKED, State.EXPIRED),
}
"""The final states by which tasks can be listed."""

STATES: Final = ("queued", "delayed", "limited", "running", *OUTCOMES)
"""The states by which tasks can be listed."""

_MOST: Final = 100
_MOST_LETTERS: Final = 100_000
"""So many dead letters are looked at for one id."""


@StoreOperation
def status() -> Steps[Status]:
    """Return how a store is, in constant time for each queue and worker."""
    found: Measures = yield ask("measures")
    live = yield from _live()
    pauses: list[Pause] = yield ask("pauses")
    counts: Statistics = yield ask("statistics")
    return Status(
        _queues(found, live, pauses),
        found.unfinished,
        found.running,
        found.delayed,
        found.limited,
        found.dead_kept,
        found.overdue_ms,
        len(live),
        dict(counts.outcomes),
        pauses,
        found.now_ms,
    )


@StoreOperation
def queues() -> Steps[list[QueueView]]:
    """Return the queues that had a message lately, and those that are paused, by name."""
    found: Measures = yield ask("measures")
    live = yield from _live()
    pauses: list[Pause] = yield ask("pauses")
    return _queues(found, live, pauses)


@StoreOperation
def pauses() -> Steps[list[Pause]]:
    """Return what is paused: everything, queues, tasks."""
    found: list[Pause] = yield ask("pauses")
    return found


def _live() -> Steps[list[WorkerInfo]]:
    workers: list[WorkerInfo] = yield ask("workers")
    return [one for one in workers if one.is_live]


def _queues(found: Measures, live: Sequence[WorkerInfo], pauses: Sequence[Pause]) -> list[QueueView]:
    by_queue = {pause.queue: pause for pause in pauses if pause.queue}
    everything = next((pause for pause in pauses if pause.is_everything), None)
    measured = {one.queue: one for one in found.queues}
    views = []
    for name in sorted({*measured, *by_queue}):
        one = measured.get(name) or QueueMeasure(name, 0, 0, 0)
        serving = sum(worker.serves(name) for worker in live)
        paused = by_queue.get(name, everything)
        views.append(QueueView(name, one.ready, one.claimed, one.oldest_ms, serving, paused, one.delayed, one.limited))
    return views


@StoreOperation
def workers(most: int = 1000) -> Steps[list[WorkerView]]:
    """Return the workers that are registered, with the longest of the running attempts, at most ``most``."""
    by_worker = running_by_worker((yield ask("active", most)))
    found: list[WorkerInfo] = yield ask("workers")
    return [WorkerView(info, by_worker.get(info.name, [])) for info in found]


def running_by_worker(running: Sequence[Active]) -> dict[str, list[Active]]:
    """Group running attempts by the names of their workers."""
    found: dict[str, list[Active]] = {}
    for one in running:
        found.setdefault(one.worker.rpartition("-")[0], []).append(one)  # a child's name is its worker's and a number
    return found


@StoreOperation
def tasks(
    wire: Wire,
    state: str,
    cursor: str = "",
    limit: int = 100,
    queue: str = "",
    outcome: str = "",
    since_ms: int = 0,
) -> Steps[TaskPage]:
    """Return a page of tasks in a state; of unfinished ones at most 100.

    Args:
        wire: decodes them (`StoreSettings.wire`).
        state: one of `STATES`. Those that run are not paged: the longest come first. Finished ones come newest first.
        cursor: that of the last page; empty: from the first.
        limit: of tasks; a page may hold fewer, because some have gone on meanwhile or are in other queues.
        queue: only those of this queue.
        outcome: of finished ones only those with this final state.
        since_ms: of finished ones only those that ended at this time or later, ms since the epoch.

    Raises:
        InvalidTask: there is no such state, or the cursor is none.
        UnknownQueue: it cannot be a queue's name.
    """
    if state not in STATES:
        raise InvalidTask(f"state is {state!r}; tasks can be listed by {', '.join(STATES)}.")
    following = ""
    if state == "running":
        running: list[Active] = yield ask("active", min(limit, _MOST))
        ids = [one.id for one in running]
    elif state in OUTCOMES:
        outcomes = [one for one in OUTCOMES[state] if outcome in ("", one)]
        ids, following = yield ask("finished_ids", outcomes, cursor, min(limit, _MOST), since_ms)
    else:
        ids, following = yield ask("waiting_ids", state, cursor, min(limit, _MOST), queue if state == "queued" else "")
    snapshots: list[Snapshot | None] = (yield ask("read", ids)) if ids else []
    found = [view_of(one, wire) for one in snapshots if one is not None]
    wanted = [one for one in found if is_in(one, state)]
    if queue:
        wanted = [one for one in wanted if one.message is not None and one.message.queue == queue]
    return TaskPage(wanted, following)


_SHOWN: Final = {
    "queued": ("QUEUED", "RETRY"),
    "delayed": ("DELAYED", "RETRY"),
    "limited": ("LIMITED",),
    "running": ("STARTED", "PROGRESS"),
}


def is_in(view: TaskView, state: str) -> bool:
    """Return whether a task is in one of `STATES`."""
    return view.snapshot.state in OUTCOMES[state] if state in OUTCOMES else view.snapshot.state.value in _SHOWN[state]


@StoreOperation
def task(wire: Wire, task_id: str) -> Steps[TaskView | None]:
    """Return what is known of a task; None: nothing.

    Raises:
        InvalidTask: it cannot be an id.
        DecodeError: what is stored is not ours, or of a later release.
    """
    [found] = yield ask("read", [check_id(task_id)])
    return None if found is None else view_of(found, wire)


@StoreOperation
def logs(task_id: str, known: int = 0) -> Steps[TaskLogs | None]:
    """Return what the attempts of a task have logged and printed; None: there are no more lines than are known.

    Raises:
        InvalidTask: it cannot be an id.
        ServerNotSupported: the store keeps none.
    """
    found: TaskLogs | None = yield ask("logs", check_id(task_id), known)
    return found


def view_of(snapshot: Snapshot, wire: Wire) -> TaskView:
    """Return a task that was read from a store."""
    message, problem = None, ""
    try:
        message = Message.decode(snapshot.envelope, wire, snapshot.id)
    except DecodeError as unreadable:
        problem = str(unreadable)
    error = error_of(snapshot)
    result = outcome_of(snapshot).get("r") if snapshot.is_finished and error is None else None
    return TaskView(snapshot.id, shown_state(snapshot), message, problem, snapshot, error, result)


def task_of(active: Active, wire: Wire) -> str:
    """Return the name of the task of a running attempt; empty: this process cannot read it."""
    try:
        return Message.decode(split_body(active.body)[1], wire, active.id).task
    except (DecodeError, ValueError):
        return ""


def message_of(letter: DeadLetter) -> Message | None:
    """Return the message of a dead letter; None: its bytes are none, or this process may not read them."""
    try:
        return letter.message()
    except DecodeError:
        return None


@StoreOperation
def dead_letters(cursor: str = "", limit: int = _MOST) -> Steps[LetterPage]:
    """Return a page of dead letters, newest first.

    Args:
        cursor: that of the last page; empty: from the newest.
        limit: of dead letters, at most 100.

    Raises:
        InvalidTask: the cursor is none.
    """
    limit = min(limit, _MOST)
    found: list[DeadLetter] = yield ask("dead_letters", limit, cursor)
    return LetterPage(found, found[-1].cursor if len(found) == limit else "")


@StoreOperation
def dead_letter_at(cursor: str) -> Steps[DeadLetter | None]:
    """Return the dead letter with a cursor; None: there is none, or it is no cursor. Asks once."""
    tags: tuple[str, ...] = yield ask("tags")
    try:
        behind = cursor_behind(cursor, tags)
    except InvalidTask:
        return None
    # Of each shard one entry may have the same time and number.
    found: list[DeadLetter] = yield ask("dead_letters", len(tags), behind)
    return next((letter for letter in found if letter.cursor == cursor), None)


@StoreOperation
def dead_letter(key: str) -> Steps[DeadLetter | None]:
    """Return the dead letter with a cursor, or of a task's id, the newest; None: there is none."""
    at_cursor = yield from dead_letter_at.steps(key)
    if at_cursor is not None:
        return at_cursor
    before = ""
    for _ in range(0, _MOST_LETTERS, _MOST):
        page: list[DeadLetter] = yield ask("dead_letters", _MOST, before)
        for letter in page:
            if key == letter.id:
                return letter
        if not page:
            return None
        before = page[-1].cursor
    return None
