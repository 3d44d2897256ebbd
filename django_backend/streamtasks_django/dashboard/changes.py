"""What forms send to change something: the reason, where it leads back, and what is said there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.http import HttpResponse, HttpResponseRedirect
from django.urls import reverse

from streamtasks.exceptions import InvalidTask
from streamtasks.stores.steering_types import AuditEntry

from .access import Visit
from .formats import moment

__all__ = ["Change", "address", "back", "by", "change", "who_text"]


class Change(NamedTuple):
    """A form that changes something.

    Attributes:
        address: to which it is sent.
        button: what the button says.
        text: what it does; empty: the button says enough.
        fields: hidden ones, by name.
        is_dangerous: whether it ends something.
        box: of a checkbox its name and its text; None: there is none.
    """

    address: str
    button: str
    text: str = ""
    fields: Mapping[str, str] = {}
    is_dangerous: bool = False
    box: tuple[str, str] | None = None


def address(visit: Visit, route: str, *values: str, **query: str) -> str:
    """Return the address of a page of this dashboard."""
    found = reverse(f"streamtasks_dashboard:{route}", args=(visit.backend.alias, *values))
    return f"{found}?{urlencode(query)}" if query else found


def change(visit: Visit, route: str, button: str, *values: str, **options: Any) -> Change:
    """Return the form of an action; ``options``: fields of `Change`."""
    return Change(address(visit, route, *values), button, **options)


def by(visit: Visit) -> dict[str, Any]:
    """Return who asks and why, as operations take it.

    Raises:
        InvalidTask: the reason is missing.
    """
    reason = visit.request.POST.get("reason", "").strip()
    if not reason:
        raise InvalidTask("The reason is missing: say why, for those who read the audit later.")
    return {"actor": visit.actor, "reason": reason}


def who_text(entry: AuditEntry) -> str:
    """Return when somebody changed something, who, and why."""
    return f"{moment(entry.at_ms)} by {entry.actor}" + (f": {entry.reason}" if entry.reason else "")


def back(visit: Visit, route: str, *values: str, note: str = "", **query: str) -> HttpResponse:
    """Return the way to a page of this dashboard, and to nowhere else; ``note``: one of `notes.NOTES`."""
    return HttpResponseRedirect(address(visit, route, *values, **query, **({"note": note} if note else {})))
