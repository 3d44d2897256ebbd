"""Findings about what lies in a store: workers, waiting and held messages, queues, and who else is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ...protocol.task_digests import digests
from ...stores.inspection_types import WorkerInfo
from ...stores.rules.consumers import worker_of
from ...stores.survey_types import MOST_STREAMS, KeySample, ShardSurvey, Survey
from .finding import Finding, Level
from .texts import amount, seconds, unknown

__all__ = ["Project", "work_findings"]

OLD_MS = 60_000
"""A queue whose oldest message is older, ms, is worth a note."""


class Project(NamedTuple):
    """Who asks. ``name``: what declares schedules. ``tasks``: names of its tasks; empty: they are not known."""

    name: str
    tasks: tuple[str, ...] = ()


def work_findings(found: Survey, prefix: str, project: Project) -> Iterator[Finding]:
    """Yield the findings about workers, and about what lies in a store."""
    shards, samples = found.shards, found.keys
    workers = _latest(worker for shard in shards for worker in shard.workers)
    live = [worker for worker in workers if worker.is_live]
    yield from _refused(shards)
    yield from _workers(workers, live, shards)
    yield from _pending(shards, live)
    yield from _queues(shards, live)
    yield from _tags(found)
    yield from _projects(shards, samples, workers, prefix, project)


def _latest(workers: Iterable[WorkerInfo]) -> list[WorkerInfo]:
    """Return each worker once, by its latest beat: it serves every shard."""
    found: dict[str, WorkerInfo] = {}
    for worker in workers:
        known = found.get(worker.name)
        if known is None or worker.beat_ms > known.beat_ms:
            found[worker.name] = worker
    return sorted(found.values())


def _refused(shards: Sequence[ShardSurvey]) -> Iterator[Finding]:
    for shard in shards:
        words = {command: text for command, text in shard.refused.items() if command != "HGETALL"}
        if words:
            shown = "; ".join(f"{command}: {text}" for command, text in words.items())
            yield unknown(
                "workers", shard.tag, "what lies in the shard", shown, "See the findings about role and rights."
            )


def _workers(
    workers: Sequence[WorkerInfo], live: Sequence[WorkerInfo], shards: Sequence[ShardSurvey]
) -> Iterator[Finding]:
    unfinished = sum(shard.unfinished for shard in shards)
    values = {
        "live": len(live), "silent": len(workers) - len(live), "unfinished": unfinished,
        "running": sum(shard.running for shard in shards), "delayed": sum(shard.delayed for shard in shards),
    }  # fmt: skip
    for worker in workers:
        if not worker.is_live:
            host, pid = worker.about.get("host", "?"), worker.about.get("pid", "?")
            yield Finding(
                "workers", Level.WARNING,
                f"Worker {worker.name} (host {host}, process {pid}) has been silent for {seconds(worker.silent_ms)}.",
                "If it was stopped, it was killed: see its log, and give it time to end (--grace). Otherwise it does "
                "not reach the server.", "", {"worker": worker.name, "silent_ms": worker.silent_ms},
            )  # fmt: skip
    if live:
        children = sum(int(worker.about.get("children", 0)) for worker in live)
        text = f"{amount(len(live), 'worker')} alive with {children} children; {amount(unfinished, 'unfinished task')}."
        yield Finding("workers", Level.OK, text, "", "", values)
    elif unfinished:
        yield Finding(
            "workers", Level.WARNING, f"No worker is alive, and {amount(unfinished, 'task')} wait.",
            "Start one: streamtasks-worker, or manage.py streamtasks_worker.", "", values,
        )  # fmt: skip
    else:
        yield Finding(
            "workers",
            Level.NOTE,
            "No worker is alive; nothing waits.",
            "Start one before tasks are enqueued.",
            "",
            values,
        )


def _pending(shards: Sequence[ShardSurvey], live: Sequence[WorkerInfo]) -> Iterator[Finding]:
    names = {worker.name for worker in live}
    held = [(one, stream, shard) for shard in shards for stream in shard.streams for one in stream.held]
    expired = sum(shard.expired_leases for shard in shards)
    lost = [one for one in held if worker_of(one[0].consumer) not in names]
    if lost:
        oldest, stream, shard = max(lost, key=lambda one: one[0].idle_ms)
        yield Finding(
            "pending", Level.WARNING,
            f"{amount(len(lost), 'claimed message')} of workers that are gone; the oldest, in queue {stream.queue!r}, "
            f"was claimed {seconds(oldest.idle_ms)} ago by {oldest.consumer}.",
            "A live worker takes them back when their lease is over." if names else
            "Start a worker: it takes them back when their lease is over.", shard.tag,
            {"messages": len(lost), "consumer": oldest.consumer, "idle_ms": oldest.idle_ms, "queue": stream.queue},
        )  # fmt: skip
    if expired:
        yield Finding(
            "pending", Level.WARNING if not names else Level.NOTE,
            f"The lease of {amount(expired, 'claim')} is over.",
            "Workers take them back within seconds; they wait one lease longer after a restart of the server.", "",
            {"expired_claims": expired},
        )  # fmt: skip
    if not lost and not expired:
        oldest_ms = max((one.idle_ms for one, _, _ in held), default=0)
        text = (
            f"The oldest claimed message was claimed {seconds(oldest_ms)} ago, by a live worker."
            if held
            else "Nothing is claimed."
        )
        yield Finding("pending", Level.OK, text, "", "", {"messages": len(held), "idle_ms": oldest_ms})


def _queues(shards: Sequence[ShardSurvey], live: Sequence[WorkerInfo]) -> Iterator[Finding]:
    lengths: dict[str, int] = {}
    oldest: dict[str, int] = {}
    for shard in shards:
        for stream in shard.streams:
            lengths[stream.queue] = lengths.get(stream.queue, 0) + stream.length
            waited_ms = shard.now_ms - stream.oldest_ms if shard.now_ms and stream.oldest_ms else 0
            oldest[stream.queue] = max(oldest.get(stream.queue, 0), waited_ms)
    for queue, length in sorted(lengths.items()):
        values = {"queue": queue, "messages": length, "oldest_ms": oldest[queue]}
        if not live or any(worker.serves(queue) for worker in live):
            level = Level.NOTE if oldest[queue] >= OLD_MS and live else Level.OK
            text = f"Queue {queue!r}: {amount(length, 'message')}, the oldest came {seconds(oldest[queue])} ago."
            remedy = "If it grows, start more workers, or see what the tasks in it do." if level else ""
            yield Finding("queues", level, text, remedy, queue, values)
            continue
        yield Finding(
            "queues", Level.WARNING,
            f"Queue {queue!r}: {amount(length, 'message')} and no live worker serves it; the oldest came "
            f"{seconds(oldest[queue])} ago.",
            f"Start a worker with --queues {queue}, or without --queues; or correct the queue's name in the code.",
            queue, values,
        )  # fmt: skip
    for shard in shards:
        if shard.stream_count > MOST_STREAMS:
            yield unknown(
                "queues",
                shard.tag,
                "the other queues",
                f"{shard.stream_count} streams, {MOST_STREAMS} were looked at",
                "",
            )


def _tags(found: Survey) -> Iterator[Finding]:
    tags = {shard.tag: shard.slot for shard in found.shards}
    by_server = {server.address: list(server.tags) for server in found.servers} | {one: [] for one in found.unused}
    values = {"slots": tags, "servers": by_server}
    if found.tags_error:
        yield Finding("tags", Level.ERROR, found.tags_error, "", "", values)
        return
    others = sorted({tag for sample in found.keys for tag in sample.other_tags})
    if others:
        yield Finding(
            "tags", Level.WARNING, f"Keys of shards that the settings do not name: {', '.join(others[:8])}.",
            "Give every process of the app the same tags; what lies in those shards is not carried out.", "",
            values | {"other_tags": others},
        )  # fmt: skip
    counts = [len(own) for own in by_server.values()]
    if len(counts) > 1 and max(counts) > 2 * min(counts):
        shown = ", ".join(f"{address} {len(own)}" for address, own in by_server.items())
        yield Finding(
            "tags", Level.WARNING, f"Shards are spread unevenly over the masters: {shown}.",
            "Move slots, so that every master has its share of the tags' slots.", "", values,
        )  # fmt: skip
    elif not others:
        where = "one server" if len(by_server) == 1 else f"{len(by_server)} masters"
        yield Finding("tags", Level.OK, f"{amount(len(tags), 'shard')} on {where}.", "", "", values)


def _projects(
    shards: Sequence[ShardSurvey],
    samples: Sequence[KeySample],
    workers: Sequence[WorkerInfo],
    prefix: str,
    project: Project,
) -> Iterator[Finding]:
    remedy = "Give each project a key_prefix of its own (or another server, or another database)."
    declared = sorted({name for shard in shards for name in shard.projects} - {project.name})
    ours = set(digests(project.tasks).split())
    strangers = [
        worker.name for worker in workers
        if ours and (theirs := set(str(worker.about.get("tasks", "")).split())) and not theirs & ours
    ]  # fmt: skip
    foreign = [key for sample in samples for key in sample.foreign]
    count = sum(sample.foreign_count for sample in samples)
    values = {"prefix": prefix, "projects": declared, "workers": strangers, "foreign_keys": count}
    found = False
    if strangers:
        found = True
        yield Finding(
            "projects", Level.WARNING,
            f"{amount(len(strangers), 'worker')} on this prefix know none of our tasks ({', '.join(strangers[:3])}): "
            "they claim our messages and put them off.", remedy, "", values,
        )  # fmt: skip
    if declared:
        found = True
        yield Finding(
            "projects", Level.NOTE if not strangers else Level.WARNING,
            f"Schedules here are also declared by {', '.join(declared[:5])}.",
            "If that is another project: " + remedy[0].lower() + remedy[1:], "", values,
        )  # fmt: skip
    if count:
        found = True
        yield Finding(
            "projects", Level.WARNING,
            f"On the prefix {prefix!r}, {amount(count, 'key')} not of streamtasks: {', '.join(map(repr, foreign))}.",
            remedy, "", values | {"examples": foreign},
        )  # fmt: skip
    refusals = sorted({sample.refused for sample in samples if sample.refused})
    if refusals:
        yield unknown(
            "projects", "", "whether others use the prefix", f"SCAN is refused: {refusals[0]}",
            "Allow it to the user who runs this (ACL SETUSER ... +scan), or ask who else uses the server.",
        )  # fmt: skip
    elif not found:
        looked = sum(sample.looked for sample in samples)
        whole = all(sample.is_whole for sample in samples)
        seen = f"{amount(looked, 'key')} looked at{'' if whole else ', not all'}"
        text = f"Nobody else is seen on the prefix {prefix!r} ({seen})."
        yield Finding("projects", Level.OK, text, "", "", values | {"looked": looked, "is_whole": whole})
