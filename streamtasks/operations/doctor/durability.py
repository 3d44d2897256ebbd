"""Findings about what a server keeps: files, replicas, the durability of the settings, and what would be lost now."""

from __future__ import annotations

from collections.abc import Iterator

from ...protocol.durability import AOF, MEMORY
from ...settings import StoreSettings
from ...stores.survey_types import ServerSurvey
from .finding import Finding, Level
from .services import Service
from .texts import amount, megabytes, option_remedy, unknown

__all__ = ["durability_findings"]


def durability_findings(server: ServerSurvey, settings: StoreSettings, service: Service) -> Iterator[Finding]:
    """Yield the findings about what a server keeps."""
    yield _persistence(server, service)
    yield from _file_errors(server)
    yield _replicas(server)
    yield from _least_replicas(server, service)
    yield from _durability(server, settings, service)
    yield _loss(server)


def _persistence(server: ServerSurvey, service: Service) -> Finding:
    enabled = server.info.get("aof_enabled")
    if enabled is None:
        return unknown(
            "persistence", server.address, "whether there is an append-only file", "INFO does not report it",
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
    if server.loss.replicas and not save:
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
            "replicas", server.address, "its replicas", "INFO does not report them",
            "Look at the replicas that whoever operates the server shows.",
        )  # fmt: skip
    if not count:
        return Finding(
            "replicas", Level.NOTE, "It has no replicas: if its host is lost, only its files are left.",
            "Attach two replicas, watched by Sentinels, if tasks shall survive the loss of a host.", server.address,
            {"connected": 0},
        )  # fmt: skip
    replicas = server.loss.replicas
    away = [one for one in replicas if not one.is_online]
    values = {"connected": count, "replicas": [one._asdict() for one in replicas]}
    if away:
        names = ", ".join(one.address for one in away)
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
    loss = server.loss
    if loss.has_file is None and not loss.replicas:
        return unknown(
            "loss", server.address, "what would be lost if it died now",
            "INFO reports neither its replicas nor its files",
            "Look at the replication lag that whoever operates the server shows.",
        )  # fmt: skip
    values = {
        "unreplicated_bytes": loss.missing_bytes,
        "unreplicated_tasks_at_most": loss.missing_tasks,
        "replication_ms": _rounded(loss.replication_ms),
        "file_ms": _rounded(loss.file_ms),
        "aof_buffer_bytes": server.number("aof_buffer_length"),
        "aof_pending_fsyncs": server.number("aof_pending_bio_fsync"),
        "aof_delayed_fsyncs": server.number("aof_delayed_fsync"),
    }
    if not loss.has_file:
        file = "all since its last snapshot"
    elif loss.file_ms is None:
        file = "what its file lacks: longer than two seconds to its disk, or not known"
    else:
        file = f"what its file lacks: {loss.file_ms:.0f} ms to its disk"
    missing, tasks = loss.missing_bytes, loss.missing_tasks
    if missing is None or tasks is None:
        return Finding(
            "loss", Level.OK if loss.has_file else Level.NOTE,
            f"If it died now and came back: {file}. If its host were lost: everything.",
            "" if loss.has_file else "Switch appendonly on, and attach replicas.", server.address, values,
        )  # fmt: skip
    lag = "more than a second" if loss.replication_ms is None else f"{loss.replication_ms:.0f} ms"
    late = loss.replication_ms is None
    remedy = "See why replicas are behind: their disks, the network. durability='replicated' waits for them."
    return Finding(
        "loss", Level.WARNING if late else Level.OK,
        f"If it died now and a replica were promoted: {megabytes(missing)}, at most {amount(tasks, 'task')} (replicas "
        f"take {lag}). If it came back itself: {file}.",
        remedy if late else "", server.address, values,
    )  # fmt: skip


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 1)
