"""The lists of tasks and of dead letters, with one filter bar: the grammar is that of the command line."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from django.http import HttpResponse, HttpResponseRedirect

from streamtasks.exceptions import InvalidTask
from streamtasks.operations import inspect
from streamtasks.operations.bulk import OPERATIONS
from streamtasks.operations.filter_text import KEYS, parse_filter
from streamtasks.operations.filters import DEAD, FILTER_STATES, TaskFilter
from streamtasks.operations.search import find_letters, find_tasks
from streamtasks.protocol.keys import check_queue

from ..access import SEE_ARGUMENTS, VIEW, Visit, view
from ..changes import address
from ..rows import letter_row, task_row

__all__ = ["SELECTED", "asked_filter", "dead_letters", "tasks"]

_PAGE: Final = 50
SELECTED: Final = ("retry", "revoke", "replay", "discard")
"""What can be done with the tasks or dead letters that are selected in a list."""

_LOOKS: Final = 4
"""A page ends after so many looks at the store, however few tasks match; its cursor goes on."""


def asked_filter(visit: Visit, text: str, state: str) -> TaskFilter:
    """Return the filter of a text.

    Raises:
        InvalidTask: it is none, or asks for values that who asks may not see.
        UnknownQueue: the queue cannot be one.
    """
    where = parse_filter(text, state)
    if SEE_ARGUMENTS not in visit.roles and (where.args or where.headers or where.words):
        raise InvalidTask(
            "The filter asks for arguments, headers or texts in them, which you may not see; filter by state, queue, "
            "task, outcome, error, worker, id or time."
        )
    return where


@view(VIEW, "GET", "HEAD")
def tasks(visit: Visit) -> HttpResponse:
    """Show a page of the tasks that a filter means."""
    given, store, wire = visit.request.GET, visit.backend.stores.plain, visit.backend.store_settings.wire
    text, problem = given.get("q", "").strip(), ""
    state = given.get("state") or ("" if text else "failed")
    where = TaskFilter(state="failed")
    page = inspect.TaskPage([], "")
    try:
        where = asked_filter(visit, text, state)
        if queue := given.get("queue", "").strip():
            where = where._replace(queue=check_queue(queue)).check()
        text = where.text()
        if where.state == DEAD:
            return HttpResponseRedirect(address(visit, "dead_letters", q=text))
        page = find_tasks(store, wire, where, given.get("cursor", ""), _PAGE, looks=_LOOKS)
    except InvalidTask as error:
        problem = str(error)
    return _shown(
        visit,
        "tasks",
        tasks=[task_row(one, visit.roles) for one in page.tasks],
        caption=f"{len(page.tasks)} on this page",
        state=where.state,
        following=urlencode({"q": text, "cursor": page.cursor}) if page.cursor else "",
        **_bar(visit, "tasks", where, text, problem),
    )


def _shown(visit: Visit, name: str, **values: Any) -> HttpResponse:
    """Return a list; a filter that is none is a bad request, with the bar to correct it."""
    response = visit.render(name, **values)
    response.status_code = 400 if values["problem"] else 200
    return response


def _bar(visit: Visit, route: str, where: TaskFilter, text: str, problem: str) -> dict[str, Any]:
    """Return the filter bar, and what can be done with all that match."""
    links = [
        {"name": state, "is_now": state == where.state, "address": _state_link(visit, where, state)}
        for state in FILTER_STATES
    ]
    return {
        "filter": text,
        "filter_address": address(visit, route),
        "states": links,
        "keys": ", ".join([*KEYS[:-2], "arg.NAME", "header.NAME"]),
        "problem": problem,
        "plannable": [name for name, states in OPERATIONS.items() if where.state in states] if not problem else [],
        "selectable": [name for name in SELECTED if where.state in OPERATIONS[name]],
    }


def _state_link(visit: Visit, where: TaskFilter, state: str) -> str:
    other = where._replace(state=state, outcome=where.outcome if state == where.state else "")
    return address(visit, "dead_letters" if state == DEAD else "tasks", q=other.text())


@view(VIEW, "GET", "HEAD")
def dead_letters(visit: Visit) -> HttpResponse:
    """Show a page of the dead letters that a filter means."""
    given, store, wire = visit.request.GET, visit.backend.stores.plain, visit.backend.store_settings.wire
    text, problem, where = given.get("q", "").strip(), "", TaskFilter()
    page = inspect.LetterPage([], "")
    try:
        where = asked_filter(visit, text, DEAD)
        text = where.text()
        if where.state != DEAD:
            return HttpResponseRedirect(address(visit, "tasks", q=text))
        page = find_letters(store, wire, where, given.get("cursor", ""), _PAGE, looks=_LOOKS)
    except InvalidTask as error:
        problem = str(error)
    return _shown(
        visit,
        "dead_letters",
        letters=[letter_row(one, visit.roles) for one in page.letters],
        following=urlencode({"q": text, "cursor": page.cursor}) if page.cursor else "",
        **_bar(visit, "dead_letters", where, text, problem),
    )
