"""All Redis keys of streamtasks; no other module builds one.

A key is the prefix exactly as given, then ``{tag}:`` and the rest. The braces make all keys of one
tag (a *shard*) live in one slot of a Cluster, so that one script may touch all of them. A prefix may
hold no brace, so two prefixes never meet.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final

from ..exceptions import ConfigurationError, InvalidTask, UnknownQueue
from .callback_message import is_callback

__all__ = [
    "GROUP",
    "RETENTIONS_H",
    "Keys",
    "check_id",
    "check_prefix",
    "check_queue",
    "check_schedule_name",
    "check_tags",
    "check_task_name",
    "retention_class",
    "stream_name",
]

GROUP = "workers"
"""The consumer group of every stream."""

RETENTIONS_H: Final = tuple(3 << doublings for doublings in range(13))
"""Retention classes, hours: records that expire at about the same age share an index, which expires with the last.

Few, so that no choice of expiries makes many keys: 3 hours to 512 days.
"""

_RETENTIONS_MS: Final = tuple(hours * 3_600_000 for hours in RETENTIONS_H)
_NAME = re.compile(r"[A-Za-z0-9_.:\-]{1,128}")
_ID = re.compile(r"[A-Za-z0-9_.:\-]{1,64}")
_TAG = re.compile(r"[A-Za-z0-9_.\-]{1,31}")


type _Key = Callable[[str], str]


def check_queue(queue: str) -> str:
    """Return the name of a queue if it can be one.

    Raises:
        UnknownQueue: it holds other characters than letters, digits and ``_ . : -``, or is too long.
    """
    if not isinstance(queue, str) or not _NAME.fullmatch(queue):
        raise UnknownQueue(f"{queue!r} cannot be a queue's name: use 1 to 128 letters, digits, '_', '.', ':' or '-'.")
    return queue


def check_id(task_id: str) -> str:
    """Return a task's id if it can be one: 1 to 64 letters, digits and ``_ . : -``, and none of our own messages'.

    Raises:
        InvalidTask: it cannot.
    """
    if not isinstance(task_id, str) or not _ID.fullmatch(task_id):
        raise InvalidTask(f"{task_id!r} cannot be a task's id: use 1 to 64 letters, digits, '_', '.', ':' or '-'.")
    if is_callback(task_id):
        raise InvalidTask(f"{task_id!r} cannot be a task's id: 'cb.' and 40 hexadecimal digits name callback messages.")
    return task_id


def check_schedule_name(name: str) -> str:
    """Return the name of a schedule if it can be one.

    Raises:
        InvalidTask: it is not 1 to 128 printable characters, or begins or ends with a space.
    """
    if not isinstance(name, str) or not name.isprintable() or name != name.strip() or not 1 <= len(name) <= 128:
        raise InvalidTask(f"{name!r} cannot be a schedule's name: use 1 to 128 printable characters, no space around.")
    return name


def check_task_name(name: str) -> str:
    """Return the name of a task if it can be one.

    Raises:
        InvalidTask: it is empty, or holds a character that cannot be printed.
    """
    if not isinstance(name, str) or not name or not name.isprintable():
        raise InvalidTask(f"{name!r} cannot be a task's name: use printable characters, at least one.")
    return name


def check_prefix(prefix: str) -> str:
    """Return a key prefix if it can be one.

    Raises:
        ConfigurationError: it holds a brace or white space, or is longer than 128 characters.
    """
    if not isinstance(prefix, str) or len(prefix) > 128 or re.search(r"[{}\s]", prefix):
        raise ConfigurationError(f"key_prefix {prefix!r} may hold no brace and no space, and at most 128 characters.")
    return prefix


def retention_class(keep_ms: int) -> int:
    """Return the retention class of a record: the first of `RETENTIONS_H` that is as long (ms), or the last."""
    return RETENTIONS_H[min(bisect_left(_RETENTIONS_MS, keep_ms), len(RETENTIONS_H) - 1)]


def check_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return the tags of shards if they can be that.

    Raises:
        ConfigurationError: there are none, one is given twice, or is not 1 to 31 letters, digits and ``_ . -``.
    """
    found: tuple[Any, ...] = () if isinstance(tags, str) else tuple(tags)
    if not found or len(set(found)) < len(found):
        raise ConfigurationError(f"tags are {tags!r}; give a list of at least one tag, each once.")
    for tag in found:
        if not isinstance(tag, str) or not _TAG.fullmatch(tag):
            raise ConfigurationError(f"tags: {tag!r} must be 1 to 31 letters, digits, '_', '.' or '-'.")
    return found


@lru_cache(maxsize=1024)
def stream_name(queue: str, priority: int) -> str:
    """Return the name of the stream for one queue and priority: ``"<priority>:<queue>"``."""
    return f"{priority}:{queue}"


class Keys:
    """The keys of one shard. The Redis type of each stands beside it; contents: ``lua/README.md``."""

    __slots__ = (
        "_base",
        "asking",
        "audit",
        "audit_counts",
        "batches",
        "beat",
        "bulk",
        "bulk_leases",
        "bulk_notes",
        "bulks",
        "claim",
        "control",
        "dead",
        "dead_bytes",
        "dead_sizes",
        "declarations",
        "declared",
        "delayed",
        "discarded",
        "done",
        "events",
        "first_tags",
        "history",
        "leases",
        "limiter",
        "limits",
        "links",
        "listeners",
        "log",
        "messages",
        "news",
        "pause_notes",
        "paused",
        "paused_ready",
        "progress",
        "queue_wake",
        "ready",
        "record",
        "release",
        "releases",
        "reserved",
        "running",
        "schedule_names",
        "schedule_revision",
        "schedule_states",
        "scheduled",
        "schedules",
        "set_aside",
        "stack",
        "state",
        "stream",
        "streams",
        "suspect",
        "tag",
        "tags",
        "totals",
        "touched",
        "unfolding",
        "waiting",
        "waits",
        "wake",
        "watchers",
        "worker_info",
        "worker_requests",
        "workers",
        "workflow",
    )

    def __init__(self, prefix: str, tag: str) -> None:
        self.tag = tag
        base = self._base = f"{check_prefix(prefix)}{{{tag}}}:"
        self.messages = base + "messages"  # HASH: id -> enqueued ms and envelope, until finished
        self.state = base + "state"  # HASH: id -> state line, if its state is not just "queued"
        self.history = base + "history"  # HASH: id -> reports of earlier attempts, a JSON line each
        self.progress = base + "progress"  # HASH: id -> progress of a running attempt
        self.leases = base + "leases"  # ZSET: token of a claim -> when it expires
        self.batches = base + "batches"  # HASH: token of a claim -> how many messages it took, and their ids
        self.reserved = base + "reserved"  # HASH: name of a stream -> the consumer that makes room for its next suspect
        self.running = base + "running"  # ZSET: id -> when its attempt started
        self.links = base + "links"  # HASH: id -> ids of those that wait until it has succeeded
        self.waiting = base + "waiting"  # ZSET: who waits for a rate limit, in the order of starts, all with score 0
        self.waits = base + "waits"  # ZSET: how many of each queue wait for their time, and for a limit
        self.limits = base + "limits"  # HASH: rate limit -> its numbers, and who was admitted and not claimed
        self.asking = base + "asking"  # ZSET: rate limit -> when to look at it next
        self.unfolding = base + "unfolding"  # ZSET: workflow with something left to do -> when to look at it
        self.schedules = base + "schedules"  # HASH: schedule -> what it is
        self.schedule_states = base + "schedule_states"  # HASH: schedule -> how far it is
        self.schedule_names = base + "schedule_names"  # ZSET: names of all schedules, all with score 0
        self.schedule_revision = base + "schedule_revision"  # STRING: the last revision that a schedule was given
        self.scheduled = base + "scheduled"  # ZSET: schedule that is not paused -> its next occurrence
        self.declarations = base + "declarations"  # HASH: project -> when the code was loaded that declares, last beat
        self.delayed = base + "delayed"  # ZSET: id -> when it is due
        self.ready = base + "ready"  # ZSET: name of a stream with something to claim -> priority
        self.paused = base + "paused"  # ZSET: what is paused; tasks with score 1
        self.pause_notes = base + "pause_notes"  # HASH: what is paused -> since when, by whom, why
        self.paused_ready = base + "paused_ready"  # ZSET: streams with something to claim that are paused
        self.set_aside = base + "set_aside"  # ZSET: paused task and stream in which some of it lie, all with score 0
        self.streams = base + "streams"  # ZSET: names of all streams ever used, all with score 0
        self.wake = base + "wake"  # LIST: at most one token; children serving any queue wait on it
        self.tags = base + "tags"  # LIST: the tags of all shards, in order; only that of the shard "tags" is used
        self.first_tags = base + "first_tags"  # STRING: how many of them were noted first; beside `tags`
        self.control = base + "control"  # CHANNEL: news for supervisors
        self.done = base + "done"  # CHANNEL: prefix of the sixteen that tell finished ids
        self.news = base + "news"  # CHANNEL: prefix of the sixteen that announce starts and progress
        self.workers = base + "workers"  # ZSET: worker -> last beat
        self.worker_info = base + "worker_info"  # HASH: worker -> its own description
        self.worker_requests = base + "worker_requests"  # HASH: worker -> what it is asked to do
        self.listeners = base + "listeners"  # STRING: there while workers listen to the ends of all tasks; expires
        self.beat = base + "beat"  # STRING: last beat of any worker
        self.dead = base + "dead"  # STREAM: dead letters, capped
        self.dead_sizes = base + "dead_sizes"  # ZSET: entry of a dead letter and its bytes -> its place in their order
        self.dead_bytes = base + "dead_bytes"  # STRING: bytes of all dead letters
        self.audit = base + "audit"  # STREAM: what operators changed, capped; only that of the first shard is used
        self.audit_counts = base + "audit_counts"  # ZSET: how many entries `audit` ever had, by outcome and operation
        self.bulks = (
            base + "bulks"
        )  # ZSET: bulk operation -> since when it is noted; only that of the first shard is used
        self.bulk_notes = base + "bulk_notes"  # HASH: bulk operation -> its state, and what it is; beside `bulks`
        self.bulk_leases = base + "bulk_leases"  # ZSET: one that is being applied -> until when a worker has it
        self.events = base + "events"  # STREAM: what happened to tasks, capped
        self.watchers = base + "watchers"  # STRING: how many events are kept; there while somebody watches; expires
        self.totals = base + "totals"  # HASH: outcome -> count
        self.releases = base + "releases"  # LIST: which release of a project came when; only that of the first shard
        self.touched = base + "touched"  # STRING: when enqueueing that waits for replicas wrote last
        # Functions of a name. A bound method of a string takes a tenth of the time of a method here.
        self.record: _Key = (base + "r:").__add__  # STRING: a finished message by its id, with its expiry
        self.log: _Key = (
            base + "log:"
        ).__add__  # HASH: what the attempts of an id have logged; expires with its record
        self.stack: _Key = (base + "stack:").__add__  # STRING: the stacks of a running task, when asked for; expires
        self.workflow: _Key = (base + "w:").__add__  # HASH: a workflow by its id; expires once all have finished
        self.claim: _Key = (base + "claim:").__add__  # STRING: the sequence of a consumer's last claim, with its expiry
        self.suspect: _Key = (
            base + "suspect:"
        ).__add__  # STRING: the claim of a worker's last suspect, with its expiry
        self.bulk: _Key = (base + "bulk:").__add__  # HASH: members and counts of a bulk operation, with its expiry
        self.discarded: _Key = (
            base + "discarded:"
        ).__add__  # STREAM: dead letters that a bulk operation has discarded, with its expiry
        self.stream: _Key = (base + "q:").__add__  # STREAM: the messages of one `stream_name`
        self.queue_wake: _Key = (base + "wake:").__add__  # LIST: at most one token; children serving only named queues
        self.limiter: _Key = (base + "limiter:").__add__  # STRING: when the next start of a rate limit is on time
        self.declared: _Key = (base + "declared:").__add__  # ZSET: what a project declares -> when a worker last did
        self.release: _Key = (
            base + "release:"
        ).__add__  # STRING: when "<project>\0<release>" came first, with its expiry

    def finished(self, hour: int, retention_h: int) -> str:
        """STREAM: ids finished in one hour since the epoch, with outcome and stream name, of one of `RETENTIONS_H`."""
        return f"{self._base}finished:{hour}:{retention_h}"

    def counts(self, hour: int) -> str:
        """HASH: ``"<minute> <queue> <outcome or ms>"`` -> count, of one hour."""
        return f"{self._base}counts:{hour}"

    def minute_series(self, hour: int) -> str:
        """HASH: what was counted by the minute of an hour, see `protocol.series`; only that of the first shard."""
        return f"{self._base}minutes:{hour}"

    def hour_series(self, day: int) -> str:
        """HASH: what was counted by the hour of a day since the epoch, likewise."""
        return f"{self._base}hours:{day}"

    def done_channel(self, task_id: str) -> str:
        """CHANNEL: announces that this id is finished."""
        return f"{self.done}:{_bucket(task_id):x}"

    def news_channel(self, task_id: str) -> str:
        """CHANNEL: announces a start or new progress of this id."""
        return f"{self.news}:{_bucket(task_id):x}"


def _bucket(task_id: str) -> int:
    return ord(task_id[31] if len(task_id) >= 32 else task_id[-1]) % 16
