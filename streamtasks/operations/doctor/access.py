"""Findings about the connection to one server: encryption, and what its user may do."""

from __future__ import annotations

from collections.abc import Iterator

from ...settings import StoreSettings
from ...stores.survey_types import ServerSurvey
from .finding import Finding, Level
from .texts import seconds, unknown

__all__ = ["access_findings"]

DAY_MS = 86_400_000


def access_findings(server: ServerSurvey, settings: StoreSettings, now_ms: int) -> Iterator[Finding]:
    """Yield the findings about a connection. ``now_ms``: the time, ms since the epoch."""
    yield from _tls(server, now_ms)
    yield _rights(server, settings)
    yield _signing(server, settings)
    yield from _reports(server, settings)


def _tls(server: ServerSurvey, now_ms: int) -> Iterator[Finding]:
    tls = server.tls
    if tls is None:
        if server.is_local:
            yield Finding(
                "tls", Level.OK, "Not encrypted; the connection does not leave this host.", "", server.address
            )
        else:
            yield Finding(
                "tls", Level.WARNING, "Not encrypted: arguments, results and the password can be read on the way.",
                "Use a rediss:// URL, or ssl in connection.", server.address, {"tls": None},
            )  # fmt: skip
        return
    values = {"tls": tls.version, "verified": tls.is_verified, "expires_ms": tls.expires_ms or None}
    if not tls.is_verified:
        yield Finding(
            "tls", Level.WARNING,
            f"{tls.version}, but certificates are not verified: anyone on the way can be the server.",
            "Remove ssl_cert_reqs='none', and name the authority by ssl_ca_certs.", server.address, values,
        )  # fmt: skip
        return
    left_ms = tls.expires_ms - now_ms
    if tls.expires_ms and left_ms < 30 * DAY_MS:
        yield Finding(
            "tls", Level.WARNING, f"{tls.version}, verified; the server's certificate expires in {seconds(left_ms)}.",
            "Renew it: nobody can connect afterwards.", server.address, values,
        )  # fmt: skip
        return
    yield Finding("tls", Level.OK, f"{tls.version}, verified.", "", server.address, values)


def _rights(server: ServerSurvey, settings: StoreSettings) -> Finding:
    rights = server.rights
    values = {"user": rights.user, "asked_by": rights.asked_by, "denied": dict(rights.denied)}
    who = f"User {rights.user!r}" if rights.user else "Our user"
    if not rights.asked_by:
        write = server.refusal("write")
        if write is not None and write.by_acl:
            return Finding(
                "rights", Level.ERROR, f"{who} may not write our keys: {write.text}",
                _grant(["evalsha"], server, settings), server.address, values,
            )  # fmt: skip
        return unknown(
            "rights", server.address, "what our user may do", "neither ACL DRYRUN nor a script is allowed",
            "If calls are refused with NOPERM, allow the command that the error names.",
        )  # fmt: skip
    if rights.denied:
        commands = sorted(rights.denied)
        shown = ", ".join(commands[:8]) + (f" and {len(commands) - 8} more" if len(commands) > 8 else "")
        return Finding(
            "rights", Level.ERROR, f"{who} may not do what the worker needs: {shown}.",
            _grant(commands, server, settings), server.address, values,
        )  # fmt: skip
    return Finding(
        "rights", Level.OK, f"{who} may send every command of ours, on our keys.", "", server.address, values
    )


def _signing(server: ServerSurvey, settings: StoreSettings) -> Finding:
    if settings.require_signed:
        return Finding(
            "signing", Level.OK, "Only what is signed or encrypted with our keys is run.", "", server.address,
            {"signed": True, "required": True},
        )  # fmt: skip
    has_keys = bool(settings.signing_keys or settings.encryption_keys)
    signed = "signed, but what is not is run as well" if has_keys else "not signed"
    remedy = (
        "Set require_signed as soon as everybody signs" if has_keys else "Set signing_keys, and require_signed later"
    )
    return Finding(
        "signing", Level.NOTE, f"Calls are {signed}: who may write our keys may enqueue any task with any arguments.",
        f"{remedy}, if others may write to this server (docs/security.md).", server.address,
        {"signed": has_keys, "required": False},
    )  # fmt: skip


def _grant(commands: list[str], server: ServerSurvey, settings: StoreSettings) -> str:
    """Return what allows commands; what is denied for its key is allowed by a pattern."""
    user = server.rights.user or "..."
    names = " ".join(f"+{command.lower()}" for command in commands)
    return (
        f"Give it the rules that `streamtasks acl --role worker --user {user} --prefix {settings.key_prefix!r}` prints "
        "(--role producer for a process that only enqueues), or what is missing, with the keys and channels of the "
        f"prefix: ACL SETUSER {user} {names}"
    )


def _reports(server: ServerSurvey, settings: StoreSettings) -> Iterator[Finding]:
    """Say what cannot be found out because INFO is refused."""
    refused = server.refusal("INFO")
    if refused is not None:
        needed = " and how many replicas durability has to wait for" if settings.durability != "memory" else ""
        yield unknown(
            "info", server.address, f"eviction, persistence, memory{needed}", f"INFO is refused: {refused.text}",
            "Allow it to this user (ACL SETUSER ... +info), or check maxmemory-policy and appendonly yourself.",
        )  # fmt: skip
