"""Look at an app's tasks, queues and workers: data for command line, dashboards and the like. Nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from ..exceptions import DecodeError, InvalidTask
from ..protocol.keys import check_id
from ..protocol.log_lines import TaskLogs
from ..protocol.message import Message, split_body
from ..protocol.state import FINAL_STATES, DeadLetter, Snapshot, State
from ..protocol.wire import Wire
from ..results.snapshot_view import error_of, outcome_of, shown_state
from ..stores.base import Store
from ..stores.inspection_types import Active, WorkerInfo
from ..stores.letter_cursor import cursor_behind
from ..stores.measure_types import Measures
from ..stores.steering_types import Pause

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


class QueueView(NamedTuple):
    """A queue: what is in it (see `QueueMeasure`), how many live workers serve it, and its pause."""

    queue: str
    ready: int
    claimed: int
    oldest_ms: int
    workers: int
    paused: Pause | None


class WorkerView(NamedTuple):
    """A worker: what it says of itself, and the attempts that it runs."""

    info: WorkerInfo
    running: list[Active]


class Status(NamedTuple):
    """A store at one moment.

    ``outcomes``: counts by state since the store was first used. ``now_ms``: the time by its clock, ms since the epoch.
    """

    queues: list[QueueView]
    unfinished: int
    running: int
    delayed: int
    limited: int
    dead_kept: int
    overdue_ms: int
    workers: int
    outcomes: dict[str, int]
    pauses: list[Pause]
    now_ms: int


class TaskView(NamedTuple):
    """A task at one moment; times are ms since the epoch, 0 if unknown.

    ``message``: None if this process cannot read it, ``problem`` says why. ``error`` and ``result`` are those of a
    finished one, see `errors.describe`.
    """

    id: str
    state: str
    message: Message | None
    problem: str
    snapshot: Snapshot
    error: dict[str, Any] | None
    result: Any


class TaskPage(NamedTuple):
    """Tasks, and the cursor behind them; empty: there are no more."""

    tasks: list[TaskView]
    cursor: str


class LetterPage(NamedTuple):
    """Dead letters, and the cursor behind them; empty: there are no more."""

    letters: list[DeadLetter]
    cursor: str


def status(store: Store) -> Status:
    """Return how a store is, in constant time for each queue and worker."""
    found, live, pauses, counts = store.measures(), _live(store), store.pauses(), store.statistics()
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


def queues(store: Store) -> list[QueueView]:
    """Return the queues that had a message lately, and those that are paused, by name."""
    return _queues(store.measures(), _live(store), store.pauses())


def pauses(store: Store) -> list[Pause]:
    """Return what is paused: everything, queues, tasks."""
    return store.pauses()


def _live(store: Store) -> list[WorkerInfo]:
    return [one for one in store.workers() if one.is_live]


def _queues(found: Measures, live: Sequence[WorkerInfo], pauses: Sequence[Pause]) -> list[QueueView]:
    by_queue = {pause.queue: pause for pause in pauses if pause.queue}
    everything = next((pause for pause in pauses if pause.is_everything), None)
    counts = {one.queue: one[1:] for one in found.queues}
    return [
        QueueView(
            name,
            *counts.get(name, (0, 0, 0)),
            sum(worker.serves(name) for worker in live),
            by_queue.get(name, everything),
        )
        for name in sorted({*counts, *by_queue})
    ]


def workers(store: Store, most: int = 1000) -> list[WorkerView]:
    """Return the workers that are registered, with the longest of the running attempts, at most ``most``."""
    by_worker = running_by_worker(store.active(most))
    return [WorkerView(info, by_worker.get(info.name, [])) for info in store.workers()]


def running_by_worker(running: Sequence[Active]) -> dict[str, list[Active]]:
    """Group running attempts by the names of their workers."""
    found: dict[str, list[Active]] = {}
    for one in running:
        found.setdefault(one.worker.rpartition("-")[0], []).append(one)  # a child's name is its worker's and a number
    return found


def tasks(
    store: Store,
    wire: Wire,
    state: str,
    cursor: str = "",
    limit: int = 100,
    queue: str = "",
    outcome: str = "",
    since_ms: int = 0,
) -> TaskPage:
    """Return a page of tasks in a state; of unfinished ones at most 100.

    Args:
        store: where they are.
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
    if state == "running":
        ids, following = [one.id for one in store.active(min(limit, _MOST))], ""
    elif state in OUTCOMES:
        outcomes = [one for one in OUTCOMES[state] if outcome in ("", one)]
        ids, following = store.finished_ids(outcomes, cursor, min(limit, _MOST), since_ms)
    else:
        ids, following = store.waiting_ids(state, cursor, min(limit, _MOST), queue if state == "queued" else "")
    found = [view_of(one, wire) for one in (store.read(ids) if ids else ()) if one is not None]
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


def task(store: Store, wire: Wire, task_id: str) -> TaskView | None:
    """Return what is known of a task; None: nothing.

    Raises:
        InvalidTask: it cannot be an id.
        DecodeError: what is stored is not ours, or of a later release.
    """
    [found] = store.read([check_id(task_id)])
    return None if found is None else view_of(found, wire)


def logs(store: Store, task_id: str, known: int = 0) -> TaskLogs | None:
    """Return what the attempts of a task have logged and printed; None: there are no more lines than are known.

    Raises:
        InvalidTask: it cannot be an id.
        ServerNotSupported: the store keeps none.
    """
    return store.logs(check_id(task_id), known)


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


def dead_letters(store: Store, cursor: str = "", limit: int = _MOST) -> LetterPage:
    """Return a page of dead letters, newest first.

    Args:
        store: where they are.
        cursor: that of the last page; empty: from the newest.
        limit: of dead letters, at most 100.

    Raises:
        InvalidTask: the cursor is none.
    """
    limit = min(limit, _MOST)
    found = store.dead_letters(limit, cursor)
    return LetterPage(found, found[-1].cursor if len(found) == limit else "")


def dead_letter_at(store: Store, cursor: str) -> DeadLetter | None:
    """Return the dead letter with a cursor; None: there is none, or it is no cursor. Asks once."""
    try:
        behind = cursor_behind(cursor, store.tags)
    except InvalidTask:
        return None
    # Of each shard one entry may have the same time and number.
    found = store.dead_letters(len(store.tags), behind)
    return next((letter for letter in found if letter.cursor == cursor), None)


def dead_letter(store: Store, key: str) -> DeadLetter | None:
    """Return the dead letter with a cursor, or of a task's id, the newest; None: there is none."""
    at_cursor = dead_letter_at(store, key)
    if at_cursor is not None:
        return at_cursor
    before = ""
    for _ in range(0, _MOST_LETTERS, _MOST):
        page = store.dead_letters(_MOST, before)
        for letter in page:
            if key == letter.id:
                return letter
        if not page:
            return None
        before = page[-1].cursor
    return None
