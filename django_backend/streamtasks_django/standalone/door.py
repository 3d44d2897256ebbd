"""Who comes in: a browser that was given the address once, by a cookie; a program, by a token of the API."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from hashlib import sha256
from inspect import iscoroutinefunction
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from ..dashboard.access import ROLES, SEE_ARGUMENTS, VIEW, guard

__all__ = ["ENTRY", "Keys", "Operator", "door", "roles"]

ENTRY: Final = "/enter/"
"""The address that lets a browser in, with a key behind it."""

_MOST: Final = 1000
"""So many browsers are remembered; the oldest are forgotten."""

_ENTERED: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Dashboard</title>
<meta http-equiv="refresh" content="0;url=/"></head><body><p><a href="/">Open the dashboard</a></p></body></html>"""
_CLOSED: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Closed</title></head><body>
<h1>This dashboard is closed</h1><p>Open the address that <code>streamtasks dashboard</code> has printed last. Each lets
one browser in, once.</p></body></html>"""


class Operator:
    """Who has come in, as much of a user as the dashboard needs."""

    is_authenticated = True

    def __init__(self, name: str) -> None:
        self._name = name

    def get_username(self) -> str:
        """Return the name, for the audit."""
        return self._name


class Keys:
    """The keys of one server: one that lets the next browser in, and digests of those that have come in.

    Args:
        tell: is called with each new key.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._lock = threading.Lock()
        self._tell = tell
        self._known: dict[str, None] = {}
        self._next = ""
        self._renew()

    def _renew(self) -> None:
        self._next = secrets.token_urlsafe(32)
        self._tell(self._next)

    def enter(self, key: str) -> str | None:
        """Return what the browser with this key is known by from now on; None: it is not the key, or not any more."""
        with self._lock:
            if not secrets.compare_digest(key.encode("utf-8", "replace"), self._next.encode()):
                return None
            kept = secrets.token_urlsafe(32)
            self._known[_digest(kept)] = None
            if len(self._known) > _MOST:
                del self._known[next(iter(self._known))]
            self._renew()
            return kept

    def knows(self, kept: str) -> bool:
        """Return whether a browser has come in."""
        return _digest(kept) in self._known


def _digest(kept: str) -> str:
    return sha256(kept.encode("utf-8", "replace")).hexdigest()


def roles(request: HttpRequest) -> tuple[str, ...]:
    """Allow everything, or everything that changes nothing, to who has come in."""
    if not isinstance(getattr(request, "user", None), Operator):
        return ()
    return (VIEW, SEE_ARGUMENTS) if settings.STREAMTASKS_STANDALONE["read_only"] else ROLES


@sync_and_async_middleware
def door(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Let in who has the cookie or a token of the API; answer everybody else."""
    if iscoroutinefunction(get_response):

        async def come_in_async(request: HttpRequest) -> HttpResponseBase:
            answer = _refused(request)
            found: HttpResponseBase = await get_response(request) if answer is None else answer
            return found

        return come_in_async

    def come_in(request: HttpRequest) -> HttpResponseBase:
        answer = _refused(request)
        found: HttpResponseBase = get_response(request) if answer is None else answer
        return found

    return come_in


def _refused(request: HttpRequest) -> HttpResponseBase | None:
    """Return the answer to who does not come in; None: the request goes on."""
    request.get_host()  # raises DisallowedHost
    known: dict[str, Any] = settings.STREAMTASKS_STANDALONE
    keys: Keys = known["keys"]
    if request.path.startswith(ENTRY):
        kept = keys.enter(request.path.removeprefix(ENTRY)) if request.method == "GET" else None
        if kept is None:
            return guard(HttpResponse(_CLOSED, status=403))
        response = HttpResponse(_ENTERED)
        response.set_cookie(known["cookie"], kept, httponly=True, samesite="Strict", secure=request.is_secure())
        return guard(response)
    if keys.knows(request.COOKIES.get(known["cookie"], "")):
        request.user = Operator(known["name"])  # type: ignore[assignment]
        return None
    if request.headers.get("Authorization"):  # the API looks at tokens; pages know none
        return None
    return guard(HttpResponse(_CLOSED, status=401))
