"""Findings about what a server keeps: files, replicas, the durability of the settings, and what would be lost now."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ...protocol.durability import AOF, MEMORY
from ...settings import StoreSettings
from ...stores.survey_types import ServerSurvey
from .finding import Finding, Level
from .services import Service
from .texts import amount, megabytes, option_remedy, unknown

__all__ = ["durability_findings", "replicas_of"]

SMALLEST_TASK_BYTES = 250
"""Enqueueing one task takes no fewer bytes of the stream to replicas."""

LAG_WARNING_BYTES = 1_000_000


class Replica(NamedTuple):
    """A replica as its master sees it. ``behind``: bytes that it has not acknowledged."""

    address: str
    state: str
    behind: int
    lag_s: int


def durability_findings(server: ServerSurvey, settings: StoreSettings, service: Service) -> Iterator[Finding]:
    """Yield what is to be said of what a server keeps."""
    yield _persistence(server, service)
    yield from _file_errors(server)
    yield _replicas(server)
    yield from _least_replicas(server, service)
    yield from _durability(server, settings, service)
    yield _loss(server)


def replicas_of(server: ServerSurvey) -> list[Replica]:
    """Return the replicas that INFO lists."""
    end = server.number("master_repl_offset") or 0
    found = []
    for name, value in server.info.items():
        if not re.fullmatch(r"slave\d+", name):
            continue
        fields = dict(part.partition("=")[::2] for part in value.split(","))
        offset, lag = fields.get("offset", ""), fields.get("lag", "")
        found.append(
            Replica(
                f"{fields.get('ip', '?')}:{fields.get('port', '?')}",
                fields.get("state", ""),
                max(0, end - int(offset)) if offset.isdigit() else 0,
                int(lag) if lag.isdigit() else -1,
            )
        )
    return found


def _persistence(server: ServerSurvey, service: Service) -> Finding:
    enabled = server.info.get("aof_enabled")
    if enabled is None:
        return unknown(
            "persistence", server.address, "whether there is an append-only file", "INFO does not tell it",
            "Look at the backup and durability settings of whoever operates the server.",
        )  # fmt: skip
    save, fsync = server.config.get("save"), server.config.get("appendfsync")
    values = {"appendonly": enabled == "1", "appendfsync": fsync, "save": save}
    if enabled == "1":
        if fsync == "no":
            return Finding(
                "persistence", Level.WARNING,
                "appendfsync is no: the kernel decides when the file is written, some 30 s late; a crash of the host "
                "loses that.", option_remedy(service, "appendfsync", "everysec"),
                server.address, values,
            )  # fmt: skip
        text = {
            "always": "each write is on the disk before it is answered",
            "everysec": "a crash of the host loses up to a second",
        }
        return Finding(
            "persistence", Level.OK, f"appendonly is on; {text.get(fsync or '', 'appendfsync is not known')}.", "",
            server.address, values,
        )  # fmt: skip
    if save:
        lost = "what came since its last snapshot is lost when it restarts"
    elif save == "":
        lost = "a restart loses all tasks"
    else:
        lost = "what came since its last snapshot is lost when it restarts, and everything if it makes none"
    if replicas_of(server) and not save:
        lost += "; one that restarts before a failover empties its replicas, too"
    return Finding(
        "persistence", Level.WARNING, f"appendonly is off: {lost}.", option_remedy(service, "appendonly", "yes"),
        server.address, values,
    )  # fmt: skip


def _file_errors(server: ServerSurvey) -> Iterator[Finding]:
    for field, what in (("aof_last_write_status", "appendonly file"), ("aof_last_bgrewrite_status", "appendonly file"),
                        ("rdb_last_bgsave_status", "snapshot")):  # fmt: skip
        if server.info.get(field, "ok") != "ok":
            yield Finding(
                "persistence", Level.ERROR, f"The last write of its {what} failed ({field} is {server.info[field]}).",
                "Make room on its disk and see its log; it may refuse writes until one succeeds.",
                server.address, {"field": field},
            )  # fmt: skip
            return


def _replicas(server: ServerSurvey) -> Finding:
    count = server.number("connected_slaves")
    if count is None:
        return unknown(
            "replicas", server.address, "its replicas", "INFO does not tell them",
            "Look at the replicas that whoever operates the server shows.",
        )  # fmt: skip
    if not count:
        return Finding(
            "replicas", Level.NOTE, "It has no replicas: if its host is lost, only its files are left.",
            "Attach two replicas, watched by Sentinels, if tasks shall survive the loss of a host.", server.address,
            {"connected": 0},
        )  # fmt: skip
    replicas = replicas_of(server)
    away = [one for one in replicas if one.state != "online"]
    values = {"connected": count, "replicas": [one._asdict() for one in replicas]}
    if away:
        names = ", ".join(f"{one.address} ({one.state})" for one in away)
        return Finding(
            "replicas", Level.WARNING, f"{len(away)} of {amount(count, 'replica')} not in step: {names}.",
            "Wait until it is online, or see its log.", server.address, values,
        )  # fmt: skip
    return Finding("replicas", Level.OK, f"{amount(count, 'replica')} connected.", "", server.address, values)


def _least_replicas(server: ServerSurvey, service: Service) -> Iterator[Finding]:
    count = server.number("connected_slaves")
    least = server.config.get("min-replicas-to-write")
    if least is None:
        if server.info and not server.config:
            yield unknown(
                "min-replicas", server.address, "min-replicas-to-write", "CONFIG is refused",
                f"Look in {service.set_options_by or 'its configuration file'}.",
            )  # fmt: skip
        return
    good = server.number("min_slaves_good_slaves")
    values = {"min_replicas_to_write": int(least), "connected": count, "good": good}
    have = count if good is None else good
    if int(least) > (have or 0):
        yield Finding(
            "min-replicas", Level.ERROR,
            f"min-replicas-to-write is {least}, and {have or 0} are in step: it refuses every write.",
            "Bring its replicas back, or " + option_remedy(service, "min-replicas-to-write", str(have or 0)),
            server.address, values,
        )  # fmt: skip
    elif count and least == "0":
        yield Finding(
            "min-replicas", Level.NOTE,
            "min-replicas-to-write is 0: a master that is cut off from its replicas goes on taking tasks, which are "
            "lost when it comes back as a replica.",
            option_remedy(service, "min-replicas-to-write", "1"), server.address, values,
        )  # fmt: skip
    elif count:
        yield Finding("min-replicas", Level.OK, f"min-replicas-to-write is {least}.", "", server.address, values)


def _durability(server: ServerSurvey, settings: StoreSettings, service: Service) -> Iterator[Finding]:
    level = settings.durability
    values = {"durability": level}
    if level == MEMORY:
        return
    command = "WAITAOF" if level == AOF else "WAIT"
    refused = server.refusal(command)
    text = f"durability is {level!r}"
    if refused is not None:
        remedy = f"Allow it: ACL SETUSER ... +{command.lower()}" if refused.by_acl else (
            "Use Redis 7.2 or Valkey 8 or later, or another durability."
        )  # fmt: skip
        yield Finding(
            "durability",
            Level.ERROR,
            f"{text}, and {command} is refused: {refused.text}",
            remedy,
            server.address,
            values,
        )
    elif level == AOF and server.info.get("aof_enabled") == "0":
        yield Finding(
            "durability", Level.ERROR, f"{text}, and appendonly is off.", option_remedy(service, "appendonly", "yes"),
            server.address, values,
        )  # fmt: skip
    elif level != AOF and settings.replicas is None and server.number("connected_slaves") == 0:
        yield Finding(
            "durability", Level.ERROR, f"{text}, and it has no replicas.",
            "Attach replicas, or use 'aof' (its own file) or 'memory'.", server.address, values,
        )  # fmt: skip
    else:
        yield Finding("durability", Level.OK, f"{text}, which it can give.", "", server.address, values)


def _loss(server: ServerSurvey) -> Finding:
    """Say what would be lost if the master died now."""
    if not server.info or server.number("connected_slaves") is None:
        return unknown(
            "loss", server.address, "what would be lost if it died now", "INFO does not tell its replicas",
            "Look at the replication lag that whoever operates the server shows.",
        )  # fmt: skip
    replicas = replicas_of(server)
    waiting = server.number("aof_pending_bio_fsync") or 0
    buffered = server.number("aof_buffer_length") or 0
    late = server.number("aof_delayed_fsync") or 0
    behind = max((one.behind for one in replicas), default=None)
    least = min((one.behind for one in replicas), default=None)
    values = {
        "unreplicated_bytes": behind,
        "unreplicated_bytes_of_the_best": least,
        "unreplicated_tasks_at_most": None if behind is None else behind // SMALLEST_TASK_BYTES,
        "aof_pending_fsyncs": waiting,
        "aof_buffer_bytes": buffered,
        "aof_delayed_fsyncs": late,
    }
    has_file = server.info.get("aof_enabled") == "1"
    file = "what its file lacks, up to a second" if has_file else "everything since its last snapshot"
    if waiting or buffered:
        file += f" (now {megabytes(buffered)} not written, {amount(waiting, 'fsync')} under way)"
    if behind is None:
        return Finding(
            "loss", Level.OK if has_file else Level.NOTE,
            f"If it died now and came back: {file}. If its host were lost: everything.",
            "" if has_file else "Switch appendonly on, and attach replicas.", server.address, values,
        )  # fmt: skip
    tasks = behind // SMALLEST_TASK_BYTES
    text = f"If it died now and a replica were promoted: {megabytes(behind)}, at most {amount(tasks, 'task')}"
    if least != behind:
        text += f", by the replica that is furthest behind ({megabytes(least or 0)} by the nearest)"
    level = Level.WARNING if behind >= LAG_WARNING_BYTES else Level.OK
    remedy = (
        "See why replicas are behind: their disks, the network. durability='replicated' waits for them."
        if level
        else ""
    )
    return Finding("loss", level, f"{text}. If it came back itself: {file}.", remedy, server.address, values)
