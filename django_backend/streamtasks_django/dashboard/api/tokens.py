"""Tokens of programs: kept as digests, each with its roles, revoked by taking it out."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, NamedTuple

from streamtasks.exceptions import ConfigurationError

from ...conf.project import dashboard_tokens
from ..access import ROLES

__all__ = ["PREFIX", "Holder", "digest", "holder_by", "holder_of", "new_token"]

PREFIX: Final = "sttk_"
"""How tokens begin, so that programs that look for leaked secrets find them."""


class Holder(NamedTuple):
    """Who has a token: its name in the setting, and its roles."""

    name: str
    roles: frozenset[str]


def new_token() -> str:
    """Return a token that nobody can guess."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """Return what is kept of a token. It has 256 random bits, so that a plain digest is enough."""
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def holder_of(token: str) -> Holder | None:
    """Return who has a token; see `holder_by`."""
    return holder_by(digest(token))


def holder_by(wanted: str) -> Holder | None:
    """Return who has the token with this digest; None: nobody has it, or not any more.

    Raises:
        ConfigurationError: the setting is wrong.
    """
    found = None
    for name, one in dashboard_tokens().items():
        holder, kept, until = _checked(name, one)
        if secrets.compare_digest(kept, wanted) and (until is None or datetime.now(UTC) < until):
            found = holder
    return found


def _checked(name: str, one: Any) -> tuple[Holder, str, datetime | None]:
    where = f"STREAMTASKS['DASHBOARD_TOKENS'][{name!r}]"
    if not isinstance(one, Mapping) or one.keys() - {"sha256", "roles", "expires"}:
        raise ConfigurationError(f"{where} must be a dict with 'sha256', 'roles' and perhaps 'expires'.")
    kept, roles, expires = one.get("sha256"), one.get("roles"), one.get("expires")
    if not isinstance(kept, str) or len(kept) != 64 or not kept.isascii():
        raise ConfigurationError(f"{where} has no 'sha256' of 64 hexadecimal digits; `streamtasks token` prints it.")
    if not isinstance(roles, list | tuple | set | frozenset) or not set(roles) <= set(ROLES):
        raise ConfigurationError(f"{where} has roles {roles!r}; give a list of some of {', '.join(ROLES)}.")
    return Holder(f"token:{name}"[:128], frozenset(roles)), kept.lower(), _moment(where, expires)


def _moment(where: str, text: Any) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise ConfigurationError(f"{where} expires at {text!r}; give a time as '2027-01-31T12:00+00:00'.") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
