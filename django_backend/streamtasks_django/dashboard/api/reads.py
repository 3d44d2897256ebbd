"""What the API shows."""

from __future__ import annotations

import threading
import time
from typing import Any, Final

from streamtasks.exceptions import InvalidTask, ServerNotSupported, TaskNotFound
from streamtasks.operations import audit as audits
from streamtasks.operations import bulk as bulks
from streamtasks.operations import inspect
from streamtasks.operations.events import EventWatch
from streamtasks.operations.failures import recent_failures
from streamtasks.operations.filter_text import parse_filter
from streamtasks.operations.filters import DEAD, TaskFilter
from streamtasks.operations.search import find_letters, find_tasks
from streamtasks.operations.stacks import stacks as stacks_of
from streamtasks.protocol.keys import check_id
from streamtasks.protocol.log_lines import NO_LOGS

from ..access import SEE_ARGUMENTS, VIEW
from ..attention import RECENT_MS, concerns
from ..reasons import reasons_of
from .fields import CURSOR, FILTER, LIMIT, Field
from .operation import Call, read
from .schemas import named, page_of
from .values import (
    bulk_value,
    letter_value,
    logs_value,
    queue_value,
    schedule_value,
    status_value,
    task_row,
    task_value,
    worker_value,
)

__all__ = ["task_filter"]

_KEY: Final = Field("key", "string", "The key of the dead letter, or the id of its task.", is_required=True, most=200)
_NAME: Final = Field("name", "string", "The name of the schedule.", is_required=True, least=1, most=128)


def task_filter(call: Call, state: str) -> TaskFilter:
    """Return what the filter of a request chooses.

    Args:
        call: the request.
        state: if the filter names none; empty: see `parse_filter`.

    Raises:
        InvalidTask: it is none, or looks at values that the role may not see.
    """
    where = parse_filter(call.given["filter"], state, lambda: call.store.measures().now_ms)
    if (where.args or where.headers or where.words) and SEE_ARGUMENTS not in call.roles:
        raise InvalidTask("Only who may see arguments (role see_arguments) can look for arguments, headers and texts.")
    return where


@read("status", VIEW, named("Status"))
def status(call: Call) -> Any:
    """Return counts of tasks, queues, pauses and workers; it takes the same time however many tasks there are."""
    return status_value(inspect.status(call.store))


@read("attention", VIEW, named("Attention"))
def attention(call: Call) -> Any:
    """Return what needs attention now, in sentences, the worst first."""
    found, workers = inspect.status(call.store), inspect.workers(call.store)
    try:
        failed = recent_failures(call.store, call.wire, found.now_ms - RECENT_MS)
    except ServerNotSupported:
        failed = None
    return {"concerns": [one._asdict() for one in concerns(found, failed, workers, call.roles)]}


@read("queues", VIEW, named("Queues"))
def queues(call: Call) -> Any:
    """Return the queues that had a task lately, and those that are paused."""
    return {"items": [queue_value(one) for one in inspect.queues(call.store)]}


@read("tasks", VIEW, page_of("TaskRow"), FILTER, LIMIT, CURSOR)
def tasks(call: Call) -> Any:
    """Return a page of tasks; finished ones come newest first. Without a state in the filter: those that are queued.

    A page ends after a bounded number of looks: it may have few items, and a cursor.
    """
    given, where = call.given, task_filter(call, "")
    page = find_tasks(call.store, call.wire, where, given["cursor"], given["limit"])
    return {"items": [task_row(one, call.roles) for one in page.tasks], "cursor": page.cursor or None}


def _found(call: Call, task_id: str) -> inspect.TaskView:
    found = inspect.task(call.store, call.wire, task_id)
    if found is None:
        raise TaskNotFound(f"No task {task_id} is known; if it ever was, its record has expired.")
    return found


@read("tasks/{task_id}", VIEW, named("Task"))
def task(call: Call, task_id: str) -> Any:
    """Return all that is known of a task."""
    return task_value(_found(call, task_id), call.roles)


@read("tasks/{task_id}/explain", VIEW, named("Reasons"))
def explain(call: Call, task_id: str) -> Any:
    """Return why a task waits, or where its time went; the codes stand in the documentation."""
    return {"items": [one._asdict() for one in reasons_of(call.store, check_id(task_id), call.roles)]}


@read("tasks/{task_id}/logs", VIEW, named("Logs"))
def logs(call: Call, task_id: str) -> Any:
    """Return what the attempts of a task have logged and printed."""
    found = _found(call, task_id)
    name = "" if found.message is None else found.message.task
    return logs_value(inspect.logs(call.store, task_id) or NO_LOGS, name, call.roles)


@read("tasks/{task_id}/stacks", VIEW, named("Stacks"))
def stacks(call: Call, task_id: str) -> Any:
    """Return where a running task is in its code; its worker is asked, for at most 5 s."""
    found = stacks_of(call.store, task_id)
    if found is None:
        raise TaskNotFound(f"No attempt of task {task_id} is known to run.")
    shown = [{"name": one.name, "frames": [frame._asdict() for frame in one.frames]} for one in found.stacks]
    return {"stacks": shown, "problem": found.problem}


@read("workers", VIEW, named("Workers"))
def workers(call: Call) -> Any:
    """Return the workers that are registered, and what they run."""
    return {"items": [worker_value(one, call.wire) for one in inspect.workers(call.store)]}


@read("dead-letters", VIEW, page_of("DeadLetter"), FILTER, LIMIT, CURSOR)
def dead_letters(call: Call) -> Any:
    """Return a page of dead letters, newest first."""
    given, where = call.given, task_filter(call, DEAD)
    page = find_letters(call.store, call.wire, where, given["cursor"], given["limit"])
    return {"items": [letter_value(one, call.roles) for one in page.letters], "cursor": page.cursor or None}


@read("dead-letters/one", VIEW, named("DeadLetter"), _KEY)
def dead_letter(call: Call) -> Any:
    """Return one dead letter."""
    found = inspect.dead_letter(call.store, call.given["key"])
    if found is None:
        raise TaskNotFound(f"There is no dead letter {call.given['key']}; the list shows those that are kept.")
    return letter_value(found, call.roles)


@read(
    "schedules",
    VIEW,
    page_of("Schedule"),
    Field("limit", "integer", "Most items of the page.", default=100, least=1, most=1000),
    CURSOR,
)
def schedules(call: Call) -> Any:
    """Return a page of schedules, by name."""
    limit = call.given["limit"]
    found = call.backend.schedules.list(limit, call.given["cursor"])
    following = found[-1].name if len(found) == limit else None
    return {"items": [schedule_value(one, call.roles) for one in found], "cursor": following}


@read("schedules/one", VIEW, named("Schedule"), _NAME)
def schedule(call: Call) -> Any:
    """Return one schedule."""
    return schedule_value(call.backend.schedules.get(call.given["name"]), call.roles)


@read("audit", VIEW, page_of("AuditEntry"), LIMIT, CURSOR)
def audit(call: Call) -> Any:
    """Return a page of what operators changed, newest first."""
    page = audits.entries(call.store, call.given["cursor"], call.given["limit"])
    items = [{name: value for name, value in one._asdict().items() if name != "nonce"} for one in page.entries]
    return {"items": items, "cursor": page.cursor or None}


_waiting: Final = threading.BoundedSemaphore(16)
"""So many requests of a process wait for events at once; others are answered at once."""


@read(
    "events",
    VIEW,
    page_of("Event"),
    CURSOR,
    Field("wait_s", "integer", "Wait so long for the first event, seconds.", default=0, least=0, most=25),
)
def events(call: Call) -> Any:
    """Return what has happened behind a cursor, oldest first; ask again with the cursor of the answer.

    Events are written while somebody watches, or always with the setting `send_events`.
    """
    wait_s = call.given["wait_s"]
    watch = EventWatch(call.store, call.given["cursor"])
    watch.steer_at = float("inf")  # of workers and pauses there is no cursor
    page = watch.look()
    if not page.events and wait_s and _waiting.acquire(blocking=False):
        try:
            until = time.monotonic() + wait_s
            while not page.events and (left_s := until - time.monotonic()) > 0:
                time.sleep(min(watch.pause_s, left_s))
                page = watch.look()
        finally:
            _waiting.release()
    return {"items": [one._asdict() for one in page.events], "cursor": page.cursor or None}


@read("bulk", VIEW, named("Bulks"), Field("limit", "integer", "Most items.", default=20, least=1, most=100))
def bulk_list(call: Call) -> Any:
    """Return the latest bulk operations, newest first."""
    return {"items": [bulk_value(one, call.roles) for one in bulks.listed(call.owner, call.given["limit"])]}


@read("bulk/{bulk_id}", VIEW, named("Bulk"))
def bulk(call: Call, bulk_id: str) -> Any:
    """Return a bulk operation: how far it is, and some of its members."""
    return bulk_value(bulks.find(call.owner, bulk_id), call.roles)
