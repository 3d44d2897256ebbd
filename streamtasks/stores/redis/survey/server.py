"""Ask one master: its version, memory, files, replicas, limits, and what our user may do there."""

from __future__ import annotations

import hashlib
import ipaddress
import ssl
import time
from collections.abc import Sequence
from typing import Any, Final

from ....protocol.keys import Keys
from ....settings import StoreSettings
from ...survey_types import Refused, Rights, ServerSurvey, Tls
from ..commands import SENT, examples, script_commands
from ..inquiry import Inquiry, pairs
from ..operations.durable import touch_call
from ..possible_loss import loss_now
from ..rights import denied_by_script

__all__ = ["MOST_ARGUMENTS", "survey_server"]

MOST_ARGUMENTS: Final = 3_999
"""The most arguments and keys that any call of ours has: one service allows no more."""

CONFIG: Final = ("maxmemory", "maxmemory-policy", "save", "appendonly", "appendfsync", "min-replicas-to-write",
    "min-replicas-max-lag", "stop-writes-on-bgsave-error", "busy-reply-threshold")  # fmt: skip

_PROBE: Final = "#!lua flags=no-writes\nreturn 1\n"
"""A script that does nothing."""


def survey_server(inquiry: Inquiry, address: str, settings: StoreSettings, tags: Sequence[str]) -> ServerSurvey:
    """Ask one master everything."""
    keys = Keys(settings.key_prefix, tags[0])
    key = keys.touched
    info = _info(inquiry.ask("INFO", "everything"))
    if isinstance(info, Refused):
        info = _info(inquiry.ask("INFO"))
    replies: dict[str, Any] = {"INFO": info if isinstance(info, Refused) else "answered"}
    replies["HELLO"] = pairs(inquiry.ask("HELLO", "2"))
    replies["CONFIG"], config = _config(inquiry)
    loaded = inquiry.ask("SCRIPT", "LOAD", _PROBE)
    sha = hashlib.sha1(_PROBE.encode(), usedforsecurity=False).hexdigest()
    replies |= {
        "CONFIG HELP": inquiry.ask("CONFIG", "HELP"),
        "ROLE": inquiry.ask("ROLE"),
        "ACL": inquiry.ask("ACL", "WHOAMI"),
        "CLIENT": inquiry.ask("CLIENT", "GETNAME"),
        "COMMAND": inquiry.ask("COMMAND", "COUNT"),
        "CLUSTER": inquiry.ask("CLUSTER", "INFO"),
        "WAIT": inquiry.ask("WAIT", "0", "1"),
        "WAITAOF": inquiry.ask("WAITAOF", "0", "0", "1"),
        "SCRIPT LOAD": loaded,
        "EVALSHA": inquiry.ask("EVALSHA", sha, "1", key),
        "script without keys": inquiry.ask("EVAL", _PROBE, "0"),
        "4,000 arguments": inquiry.ask("EXISTS", *[key] * (MOST_ARGUMENTS + 1)),
        "write": _write(inquiry, keys),
    }
    offset_ms, round_trip_ms = _clock(inquiry)
    return ServerSurvey(
        address=address,
        is_local=_is_local(inquiry.socket, address),
        replies=replies,
        info={} if isinstance(info, Refused) else info,
        config=config,
        clock_offset_ms=offset_ms,
        round_trip_ms=round_trip_ms,
        rights=_rights(inquiry, replies["ACL"], keys),
        tls=_tls(inquiry.socket),
        tags=tuple(tags),
        loss=loss_now(inquiry.ask, keys),
    )


def _info(reply: Any) -> dict[str, str] | Refused:
    if isinstance(reply, Refused):
        return reply
    lines = str(reply).splitlines()
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}


def _config(inquiry: Inquiry) -> tuple[Any, dict[str, str]]:
    """Return the reply to CONFIG, and the values in it."""
    config: dict[str, str] = {}
    reply: Any = None
    for name in CONFIG:
        reply = inquiry.ask("CONFIG", "GET", name)
        if isinstance(reply, Refused):
            return reply, config
        config |= {option: str(value) for option, value in pairs(reply).items()}
    return reply, config


def _write(inquiry: Inquiry, keys: Keys) -> Any:
    """Write as enqueueing does."""
    call = touch_call(keys, "doctor")
    loaded = inquiry.ask("SCRIPT", "LOAD", call.script.source)
    if isinstance(loaded, Refused):
        return loaded
    return inquiry.ask("EVALSHA", call.script.sha, len(call.keys), *call.keys, *call.args)


def _clock(inquiry: Inquiry) -> tuple[float | None, float]:
    """Return by how much the server's clock is ahead, ms, by the quickest of three answers, and how long it took."""
    best: tuple[float | None, float] = (None, 0.0)
    for _ in range(3):
        began_ns, clock_ns = time.monotonic_ns(), time.time_ns()
        reply = inquiry.ask("TIME")
        took_ms = (time.monotonic_ns() - began_ns) / 1e6
        if isinstance(reply, list) and len(reply) == 2 and (best[0] is None or took_ms < best[1]):
            there_ms = int(reply[0]) * 1000 + int(reply[1]) / 1000
            best = there_ms - (clock_ns / 1e6 + took_ms / 2), took_ms
    return best


def _is_local(socket: Any, address: str) -> bool:
    """Return whether the other end is on this host."""
    try:
        peer = socket.getpeername()
    except (OSError, AttributeError):
        return address.startswith("/")
    return isinstance(peer, str) or ipaddress.ip_address(peer[0]).is_loopback


def _tls(socket: Any) -> Tls | None:
    if not isinstance(socket, ssl.SSLSocket):
        return None
    certificate: Any = socket.getpeercert() or {}
    expires = certificate.get("notAfter")
    expires_ms = round(ssl.cert_time_to_seconds(expires) * 1000) if isinstance(expires, str) else 0
    return Tls(socket.version() or "TLS", socket.context.verify_mode == ssl.CERT_REQUIRED, expires_ms)


def _rights(inquiry: Inquiry, user: Any, keys: Keys) -> Rights:
    """Learn what the user may do: by ACL DRYRUN, else by a script."""
    name = user if isinstance(user, str) else ""
    commands = (*SENT, *script_commands())
    key, channel = keys.messages, keys.done_channel("0")
    if name:
        denied, is_answered = {}, False
        for command in commands:
            reply = inquiry.ask("ACL", "DRYRUN", name, *examples(command, key, channel))
            if isinstance(reply, Refused):
                break
            is_answered = True
            if reply != "OK":
                denied[command] = str(reply)
        if is_answered:
            return Rights("ACL DRYRUN", denied, name)
    by_script = denied_by_script(inquiry, keys, commands)
    return Rights("", {}, name) if isinstance(by_script, Refused) else Rights("script", by_script, name)
