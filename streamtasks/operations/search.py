"""List the tasks and dead letters that a filter means, page by page; each page looks at a bounded number of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..exceptions import InvalidTask
from ..protocol.state import DeadLetter, Snapshot
from ..protocol.wire import Wire
from ..stores.letter_cursor import order_of
from ..stores.steering_types import before_of
from .filters import DEAD, TaskFilter
from .inspect import OUTCOMES, LetterPage, TaskPage, TaskView, dead_letters, message_of, tasks, view_of
from .store_calls import Steps, StoreOperation, ask

__all__ = ["LOOKS", "find_letters", "find_tasks", "records_of"]

LOOKS: Final = 10
"""A page ends after so many looks at 100 tasks each, however few of them are meant: its cursor goes on."""

_MOST: Final = 100


@StoreOperation
def find_tasks(
    wire: Wire, where: TaskFilter, cursor: str = "", limit: int = _MOST, *, looks: int = LOOKS
) -> Steps[TaskPage]:
    """Return a page of the tasks that a filter means.

    Args:
        wire: decodes them (`StoreSettings.wire`).
        where: which tasks, `filter_text.parse_filter` reads it from a text.
        cursor: that of the last page; empty: from the first.
        limit: of tasks, at most 100; of those that ended in the same ms some more may come.
        looks: how many times the store is asked for up to 100 tasks. A page may hold fewer than ``limit``, or none, and
            still have a cursor.

    Raises:
        InvalidTask: the filter is about dead letters, or the cursor is none.
        UnknownQueue: it cannot be a queue's name.
    """
    if where.check().state == DEAD:
        raise InvalidTask("state is 'dead': dead letters have a list of their own; those of tasks have 'failed'.")
    limit = min(limit, _MOST)
    found: dict[str, TaskView] = {}  # a page of delayed ones may begin with what the last one had
    is_finished = where.state in OUTCOMES
    if is_finished and where.until_ms:
        cursor = str(min(before_of(cursor) or where.until_ms, where.until_ms))
    queue = where.queue if where.state == "queued" else ""  # else it is known of each task only
    most = limit if _is_indexed(where) else _MOST
    for _ in range(looks):
        page = yield from tasks.steps(wire, where.state, cursor, most, queue, where.outcome, where.since_ms)
        places = [at for at, one in enumerate(page.tasks) if one.id not in found and where.accepts(one)]
        missing = limit - len(found)
        last = places[missing - 1] + 1 if len(places) > missing else 0
        if last and where.state == "running":  # which has no cursor
            places = places[:missing]
        elif last and most > last:
            most = last  # so that the page, and its cursor, end with the last one
            continue
        found |= {page.tasks[at].id: page.tasks[at] for at in places}
        cursor, most = page.cursor, limit - len(found) if _is_indexed(where) else _MOST
        if not cursor or len(found) >= limit:
            break
    return TaskPage(list(found.values()), cursor)


def _is_indexed(where: TaskFilter) -> bool:
    """Return whether a store can choose the tasks by itself, so that it need not be asked for more than are wanted."""
    queue = "" if where.state == "queued" else where.queue
    since_ms, until_ms = (0, 0) if where.state in OUTCOMES else (where.since_ms, where.until_ms)
    return where._replace(state=DEAD, queue=queue, outcome="", since_ms=since_ms, until_ms=until_ms) == TaskFilter()


@StoreOperation
def find_letters(
    wire: Wire, where: TaskFilter, cursor: str = "", limit: int = _MOST, *, looks: int = LOOKS
) -> Steps[LetterPage]:
    """Return a page of the dead letters that a filter means, newest first; see `find_tasks`.

    Raises:
        InvalidTask: the filter is about other tasks, or the cursor is none.
        UnknownQueue: it cannot be a queue's name.
    """
    if where.check().state != DEAD:
        raise InvalidTask(f"state is {where.state!r}; here are dead letters only: leave the state out, or list tasks.")
    limit = min(limit, _MOST)
    tags: tuple[str, ...] = yield ask("tags")
    if where.until_ms and (not cursor or order_of(cursor, tags)[0] > where.until_ms):
        cursor = f"{where.until_ms}-0"
    found: list[DeadLetter] = []
    for _ in range(looks):
        page = yield from dead_letters.steps(cursor, limit if where == TaskFilter() else _MOST)
        records = (yield from records_of.steps(wire, page.letters)) if where.needs_record else {}
        for letter in page.letters:
            if letter.died_ms < where.since_ms:  # older ones follow
                return LetterPage(found, "")
            cursor = letter.cursor
            if where.accepts_letter(letter, message_of(letter), records.get(letter.id)):
                found.append(letter)
                if len(found) == limit:
                    return LetterPage(found, cursor)
        if not page.cursor:
            return LetterPage(found, "")
    return LetterPage(found, cursor)


@StoreOperation
def records_of(wire: Wire, letters: Sequence[DeadLetter]) -> Steps[dict[str, TaskView]]:
    """Return the tasks of dead letters whose records are kept, by their ids."""
    ids = [one.id for one in letters if one.id]
    found: list[Snapshot | None] = (yield ask("read", ids)) if ids else []
    return {one.id: view_of(one, wire) for one in found if one is not None}
