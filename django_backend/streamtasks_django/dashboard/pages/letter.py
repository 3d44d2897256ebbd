"""The page of one dead letter: what it called, why it was given up on, and how to replay or discard it."""

from __future__ import annotations

from typing import Final

from django.http import HttpResponse
from django.template.defaultfilters import filesizeformat

from streamtasks.exceptions import TaskNotFound
from streamtasks.operations import control, inspect
from streamtasks.protocol.state import DeadLetter

from ..access import OPERATE, SEE_ARGUMENTS, VIEW, Visit, view
from ..changes import address, back, by, change
from ..rows import letter_row
from .edited import editable, edited

__all__ = ["discard", "letter", "letter_of", "replay"]

_CUT: Final = 10_000
"""So many characters of arguments are shown; a file has all."""


def letter_of(visit: Visit, key: str) -> DeadLetter:
    """Return the dead letter with a key.

    Raises:
        TaskNotFound: it is gone.
    """
    found = inspect.dead_letter_at(visit.backend.stores.plain, key)
    if found is None:
        raise TaskNotFound("This dead letter is gone: somebody has replayed or discarded it. The audit says who.")
    return found


@view(VIEW, "GET", "HEAD")
def letter(visit: Visit) -> HttpResponse:
    """Show one dead letter."""
    found = letter_of(visit, visit.request.GET.get("key", ""))
    message, fields = inspect.message_of(found), {"key": found.cursor}
    edit, changes = None, []
    if OPERATE in visit.roles:
        if message is not None:
            text = "A new task with the same call; the letter goes."
            changes.append(change(visit, "replay", "Replay it", text=text, fields=fields))
            edit = editable(visit, message, address(visit, "replay"), fields)
        text = "Its call is lost then."
        changes.append(change(visit, "discard", "Discard it", text=text, fields=fields, is_dangerous=True))
    row = letter_row(found, visit.roles, _CUT)
    may_save = SEE_ARGUMENTS in visit.roles and message is not None
    return visit.render(
        "letter",
        letter=row,
        changes=changes,
        edit=edit,
        raw_address=address(visit, "letter_raw", **fields) if may_save else "",
        size=filesizeformat(len(found.envelope)),
    )


@view(OPERATE, "POST")
def replay(visit: Visit) -> HttpResponse:
    """Enqueue the call of a dead letter again, perhaps with other arguments; go to the new task."""
    who, changes = by(visit), edited(visit)
    found = letter_of(visit, visit.request.POST.get("key", ""))
    return back(visit, "task", control.replay(visit.backend.owner, found, **changes, **who), note="done")


@view(OPERATE, "POST")
def discard(visit: Visit) -> HttpResponse:
    """Delete a dead letter."""
    who = by(visit)
    found = letter_of(visit, visit.request.POST.get("key", ""))
    is_done = control.discard(visit.backend.owner, [found], **who)
    return back(visit, "dead_letters", note="discarded" if is_done else "was_gone")
