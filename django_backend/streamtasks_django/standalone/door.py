"""Who comes in: a browser that was given the address once, or a token; a program, by a token of the API."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Collection
from inspect import iscoroutinefunction
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from ..dashboard.access import ROLES, SEE_ARGUMENTS, VIEW, guard
from ..dashboard.api.tokens import digest, holder_by, holder_of

__all__ = ["ENTRY", "Keys", "Operator", "door", "roles"]

ENTRY: Final = "/enter/"
"""The address that lets a browser in, with a key behind it; by itself it asks for a token, if there are any."""

_MOST: Final = 1000
"""So many browsers are remembered; the oldest are forgotten."""

_ENTERED: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Dashboard</title>
<meta http-equiv="refresh" content="0;url=/"></head><body><p><a href="/">Open the dashboard</a></p></body></html>"""
_CLOSED: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Closed</title></head><body>
<h1>This dashboard is closed</h1><p>Open the address that <code>streamtasks dashboard</code> has printed last. Each lets
one browser in, once.</p></body></html>"""


_ASKS: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Dashboard</title>
<meta name="viewport" content="width=device-width, initial-scale=1"></head><body><main><h1>Dashboard</h1>%s
<form method="post" action="/enter/"><p><label for="token">Token</label>
<input id="token" name="token" type="password" required autocomplete="current-password"></p>
<p><button>Come in</button></p></form></main></body></html>"""


class Operator:
    """Who has come in, as much of a user as the dashboard needs. ``roles``: what it may do."""

    is_authenticated = True

    def __init__(self, name: str, roles: Collection[str]) -> None:
        self._name = name
        self.roles = roles

    def get_username(self) -> str:
        """Return the name, for the audit."""
        return self._name


class Keys:
    """The keys of one server: one that lets the next browser in, and digests of those that have come in.

    Args:
        tell: is called with each new key; None: browsers come in by tokens.
    """

    def __init__(self, tell: Callable[[str], None] | None) -> None:
        self._lock = threading.Lock()
        self._tell = tell
        self._known: dict[str, str] = {}  # what a browser keeps -> its token, digests both; "": it came without
        self._next = secrets.token_urlsafe(32)
        if tell is not None:
            tell(self._next)

    @property
    def asks_for_tokens(self) -> bool:
        """Whether browsers come in by tokens."""
        return self._tell is None

    def enter(self, key: str) -> str | None:
        """Return what the browser with this key is known by from now on; None: it is not the key, or not any more."""
        with self._lock:
            if self._tell is None or not secrets.compare_digest(key.encode("utf-8", "replace"), self._next.encode()):
                return None
            self._next = secrets.token_urlsafe(32)
            self._tell(self._next)
            return self._keep("")

    def enter_with(self, token: str) -> str | None:
        """Return what the browser of somebody with this token is known by; None: nobody has it."""
        if self._tell is not None or holder_of(token) is None:
            return None
        with self._lock:
            return self._keep(digest(token))

    def _keep(self, token: str) -> str:
        kept = secrets.token_urlsafe(32)
        self._known[digest(kept)] = token
        if len(self._known) > _MOST:
            del self._known[next(iter(self._known))]
        return kept

    def operator(self, kept: str, name: str) -> Operator | None:
        """Return who comes with a browser; None: it has not come in, or its token is valid no more.

        Args:
            kept: what the browser keeps.
            name: of who came in without a token.
        """
        token = self._known.get(digest(kept))
        if token is None:
            return None
        if not token:
            return Operator(name, ROLES)
        holder = holder_by(token)
        return None if holder is None else Operator(*holder)


def roles(request: HttpRequest) -> frozenset[str]:
    """Allow who has come in what its token allows, or everything; nothing that changes anything if that is asked."""
    user = getattr(request, "user", None)
    if not isinstance(user, Operator):
        return frozenset()
    return frozenset(user.roles) & frozenset(
        (VIEW, SEE_ARGUMENTS) if settings.STREAMTASKS_STANDALONE["read_only"] else ROLES
    )


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
        return guard(_entered(request, keys))
    user = keys.operator(request.COOKIES.get(known["cookie"], ""), known["name"])
    if user is not None:
        request.user = user  # type: ignore[assignment]
        return None
    if request.headers.get("Authorization"):  # the API looks at tokens; pages know none
        return None
    if keys.asks_for_tokens and request.method == "GET":
        return guard(HttpResponse(_ASKS % "", status=401))
    return guard(HttpResponse(_CLOSED, status=401))


def _entered(request: HttpRequest, keys: Keys) -> HttpResponse:
    """Let a browser in, or say why not."""
    key = request.path.removeprefix(ENTRY)
    if keys.asks_for_tokens and not key:
        if request.method == "GET":
            return HttpResponse(_ASKS % "")
        kept = None
        if request.headers.get("Origin") in (None, f"{request.scheme}://{request.get_host()}"):
            kept = keys.enter_with(request.POST.get("token", ""))
        if kept is None:
            return HttpResponse(_ASKS % "<p>Nobody has this token, or not any more.</p>", status=403)
    else:
        kept = keys.enter(key) if request.method == "GET" else None
        if kept is None:
            return HttpResponse(_CLOSED, status=403)
    response = HttpResponse(_ENTERED)
    cookie: str = settings.STREAMTASKS_STANDALONE["cookie"]
    response.set_cookie(cookie, kept, httponly=True, samesite="Strict", secure=request.is_secure())
    return response
