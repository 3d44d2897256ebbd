"""Findings about one server as such: version, service, role, memory, clock, limits, scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...settings import StoreSettings
from ...stores.survey_types import ServerSurvey
from .finding import Finding, Level
from .services import SELF_MANAGED, Service
from .texts import megabytes, option_remedy, unknown

__all__ = ["server_findings"]

SKEW_NOTE_MS = 1_000
SKEW_WARNING_MS = 30_000
FULL = 0.9
FILLING = 0.75

_SEE_ROLE = "See the finding about its role."


def server_findings(server: ServerSurvey, settings: StoreSettings, service: Service) -> Iterator[Finding]:
    """Yield the findings about a server, whatever is in it."""
    yield _version(server)
    yield _service(server, service)
    yield from _role(server, settings)
    yield _eviction(server, service)
    yield _memory(server, service)
    yield _clock(server)
    yield from _scripts(server)
    yield _limits(server)
    yield _writes(server, service)


def _version(server: ServerSurvey) -> Finding:
    hello = server.replies.get("HELLO") or {}
    name = "Valkey" if "valkey_version" in server.info or hello.get("server") == "valkey" else "Redis"
    version = server.info.get("valkey_version") or server.info.get("redis_version") or str(hello.get("version", ""))
    numbers = [int(part) for part in re.findall(r"\d+", server.info.get("redis_version") or version)[:2]]
    where, values = server.address, {"server": name.lower(), "version": version}
    if not numbers:
        return unknown("version", where, "the version", "INFO and HELLO are refused", "Ask who operates the server.")
    if numbers < [7, 0]:
        return Finding(
            "version", Level.ERROR, f"{name} {version} is too old: its scripts cannot run ours.",
            "Use Redis 7.0 or Valkey 8, or later.", where, values,
        )  # fmt: skip
    return Finding("version", Level.OK, f"{name} {version}.", "", where, values)


def _service(server: ServerSurvey, service: Service) -> Finding:
    values = {"service": service.key, "lacks": list(service.lacks), "signs": [sign.text for sign in service.signs]}
    if not service.signs:
        return Finding("service", Level.OK, f"It is {service.name}.", "", server.address, values)
    signs = "; ".join(sign.text for sign in service.signs)
    remedy = ""
    if service.bills_commands:
        remedy = "Commands are billed: set idle_poll, so that idle workers send fewer."
    return Finding(
        "service", Level.NOTE, f"It answers like {service.name} ({signs}). It lacks: {'; '.join(service.lacks)}.",
        remedy, server.address, values,
    )  # fmt: skip


def _role(server: ServerSurvey, settings: StoreSettings) -> Iterator[Finding]:
    hello = server.replies.get("HELLO") or {}
    role = server.info.get("role") or str(hello.get("role", ""))
    if role in ("slave", "replica"):
        master = f"{server.info.get('master_host', '?')}:{server.info.get('master_port', '?')}"
        yield Finding(
            "role", Level.ERROR, f"It is a replica (of {master}) and takes no tasks.",
            "Name its master in the URL, or the Sentinels that know it.", server.address, {"role": "replica"},
        )  # fmt: skip
    elif not role:
        yield unknown("role", server.address, "whether it is a master", "INFO and HELLO do not report it", "")
    else:
        yield Finding("role", Level.OK, "It is a master.", "", server.address, {"role": role})
    write = server.refusal("write")
    is_elsewhere = write is not None and write.moved
    if (is_elsewhere or server.info.get("cluster_enabled") == "1") and not settings.is_cluster:
        where = f": {write.text}" if is_elsewhere and write is not None else ""
        yield Finding(
            "role", Level.ERROR if where else Level.WARNING,
            f"It is a node of a Cluster, and the URL names it as a single server{where}.",
            "Calls are refused (MOVED) when the shard is at another master. Use redis+cluster://, or an endpoint "
            "of the service that stands for all of it.", server.address, {"cluster": True},
        )  # fmt: skip


def _eviction(server: ServerSurvey, service: Service) -> Finding:
    policy = server.info.get("maxmemory_policy") or server.config.get("maxmemory-policy")
    remedy = option_remedy(service, "maxmemory-policy", "noeviction")
    if policy is None:
        return unknown("eviction", server.address, "maxmemory-policy", "INFO does not report it", remedy)
    values = {"maxmemory_policy": policy}
    if policy != "noeviction":
        return Finding(
            "eviction", Level.ERROR, f"maxmemory-policy is {policy}: tasks are thrown away when memory is short.",
            remedy, server.address, values,
        )  # fmt: skip
    return Finding("eviction", Level.OK, "maxmemory-policy is noeviction.", "", server.address, values)


def _memory(server: ServerSurvey, service: Service) -> Finding:
    used, most = server.number("used_memory"), server.number("maxmemory")
    if used is None:
        remedy = "Watch the memory figures of whoever operates the server."
        return unknown("memory", server.address, "the memory in use", "INFO does not report it", remedy)
    system = server.number("total_system_memory")
    values = {"used_bytes": used, "max_bytes": most, "system_bytes": system}
    if not most:
        if service.set_options_by:
            return Finding(
                "memory", Level.NOTE, f"{megabytes(used)} in use; maxmemory is not reported.",
                "Watch the memory figures of the service.", server.address, values,
            )  # fmt: skip
        if system and used > FILLING * system:
            return Finding(
                "memory", Level.WARNING,
                f"{megabytes(used)} in use of the host's {megabytes(system)}, and maxmemory is not set: the kernel may "
                "kill the server.", "Set maxmemory, and give the host more memory.", server.address, values,
            )  # fmt: skip
        return Finding(
            "memory", Level.NOTE,
            f"{megabytes(used)} in use; maxmemory is not set: nothing stops the server before the kernel kills it.",
            "Set maxmemory to what the host can spare (a copy is made while a snapshot or a file is written): "
            "enqueueing then fails with StoreFull instead, and workers go on.", server.address, values,
        )  # fmt: skip
    share = used / most
    text = f"{megabytes(used)} of {megabytes(most)} in use ({share:.0%})"
    remedy = (
        "Enqueueing raises StoreFull when it is full; workers go on and free memory. "
        + option_remedy(service, "maxmemory", "more")
        + " Or let results expire earlier (result_expires)."
    )
    level = Level.ERROR if share >= FULL else Level.WARNING if share >= FILLING else Level.OK
    return Finding("memory", level, text + ".", remedy if level else "", server.address, values)


def _clock(server: ServerSurvey) -> Finding:
    offset = server.clock_offset_ms
    if offset is None:
        return unknown(
            "clock", server.address, "the server's clock", "TIME is refused", "Allow it: ACL SETUSER ... +time"
        )
    values = {"offset_ms": round(offset), "round_trip_ms": round(server.round_trip_ms, 1)}
    away = abs(offset) - server.round_trip_ms / 2
    if away < SKEW_NOTE_MS:
        text = f"Its clock agrees with ours to {max(abs(offset), server.round_trip_ms):.0f} ms."
        return Finding("clock", Level.OK, text, "", server.address, values)
    side = "ahead of" if offset > 0 else "behind"
    return Finding(
        "clock", Level.WARNING if away >= SKEW_WARNING_MS else Level.NOTE,
        f"Its clock is {abs(offset) / 1000:.1f} s {side} this host's. Tasks start by the server's clock.",
        "Set both by NTP.", server.address, values,
    )  # fmt: skip


def _scripts(server: ServerSurvey) -> Iterator[Finding]:
    for question in ("EVALSHA", "SCRIPT LOAD"):
        refused = server.refusal(question)
        if refused is not None and refused.moved:
            yield unknown("scripts", server.address, "whether it runs scripts", refused.text, _SEE_ROLE)
            return
        if refused is not None:
            remedy = "Allow it: ACL SETUSER ... +evalsha +script|load" if refused.by_acl else (
                "Every change of a task is a script: use a service, or a plan of it, that runs scripts."
            )  # fmt: skip
            yield Finding(
                "scripts", Level.ERROR, f"{question} is refused: {refused.text}", remedy, server.address,
                {"command": question},
            )  # fmt: skip
            return
    yield Finding("scripts", Level.OK, "Scripts can be loaded and run.", "", server.address)


def _limits(server: ServerSurvey) -> Finding:
    many, keyless = server.refusal("4,000 arguments"), server.refusal("script without keys")
    values = {"refuses_4000_arguments": many is not None, "refuses_scripts_without_keys": keyless is not None}
    if many is not None and (many.by_acl or many.moved):
        remedy = _SEE_ROLE if many.moved else ""
        return unknown("limits", server.address, "how many arguments it takes", many.text, remedy)
    parts = []
    if many is not None:
        parts.append("commands with 4,000 arguments")
    if keyless is not None and not keyless.by_acl:
        parts.append("scripts without keys")
    if not parts:
        return Finding(
            "limits", Level.OK, "It takes 4,000 arguments, and scripts without keys.", "", server.address, values
        )
    return Finding(
        "limits", Level.NOTE,
        f"It refuses {' and '.join(parts)}. No call of streamtasks has more than 3,999 arguments and keys, and each "
        "script has a key.", "", server.address, values,
    )  # fmt: skip


def _writes(server: ServerSurvey, service: Service) -> Finding:
    refused = server.refusal("write")
    if refused is None:
        return Finding("writes", Level.OK, "It takes writes.", "", server.address)
    text = refused.text
    if refused.by_acl:
        remedy = "See the finding about rights."
    elif refused.moved:
        remedy = _SEE_ROLE
    elif "READONLY" in text or "read only" in text.lower():
        remedy = "Name the master in the URL."
    elif "NOREPLICAS" in text or "Not enough good replicas" in text:
        remedy = "Bring its replicas back, or lower min-replicas-to-write."
    elif "MISCONF" in text:
        remedy = "It cannot write its snapshot: make room on its disk, then see its log."
    else:
        remedy = "Ask who operates the server." if service is not SELF_MANAGED else "See the server's log."
    return Finding("writes", Level.ERROR, f"It takes no writes: {text}", remedy, server.address)
