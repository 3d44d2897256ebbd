"""What a survey of a store returns: the answers of its servers, and what lies in its shards. No judgement of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from .inspection_types import WorkerInfo

__all__ = [
    "BYTES_OF_TASK",
    "MOST_STREAMS",
    "Held",
    "KeySample",
    "PossibleLoss",
    "Refused",
    "ReplicaLack",
    "Rights",
    "ServerSurvey",
    "ShardSurvey",
    "StreamSurvey",
    "Survey",
    "Tls",
]


BYTES_OF_TASK: Final = 290
"""An enqueued task takes at least so many bytes on the way to a replica."""

MOST_STREAMS: Final = 200
"""Streams of one shard that are surveyed; of further ones only the number is known."""


class Refused(NamedTuple):
    """A question that a server did not answer.

    ``text``: its error. ``by_acl``: whether the user has no right to ask; else the server itself does not answer that.
    ``broke``: whether the connection broke instead, or nothing came in time. ``moved``: another node of a Cluster has
    the keys.
    """

    text: str
    by_acl: bool = False
    broke: bool = False
    moved: bool = False


class Rights(NamedTuple):
    """What the user of the connection may do.

    ``asked_by``: "ACL DRYRUN", "script", or "" if neither is allowed. ``denied``: command -> reason. ``user``: its
    name, empty: unknown.
    """

    asked_by: str
    denied: dict[str, str]
    user: str = ""


class Tls(NamedTuple):
    """The encryption of a connection. ``expires_ms``: of the server's certificate, ms since the epoch; 0: unknown."""

    version: str
    is_verified: bool
    expires_ms: int = 0


class ReplicaLack(NamedTuple):
    """A connected replica.

    ``address``: as the master reports it. ``is_online``: False: it is being synchronized. ``missing_bytes``: how much
    of what was written before the measurement it has not received.
    """

    address: str
    is_online: bool
    missing_bytes: int


class PossibleLoss(NamedTuple):
    """What would be lost if a master died now.

    ``replicas``: the connected ones. ``replication_ms``: how long it took until all of them had what was written, ms;
    None: longer than a second, there are none, or it could not be measured. ``has_file``: whether it has an append-only
    file. ``file_ms``: how long it took until what was written was on its disk, ms; None: longer than two seconds, there
    is no file, or the server has no WAITAOF. ``refused``: what the server or its ACL did not allow: command -> error.
    """

    replicas: tuple[ReplicaLack, ...] = ()
    replication_ms: float | None = None
    has_file: bool | None = None
    file_ms: float | None = None
    refused: dict[str, str] = {}  # noqa: RUF012  (a field of a named tuple, never changed)

    @property
    def missing_bytes(self) -> int | None:
        """What the replica that lacks most has not received; None: there is none, so all of it."""
        return max((replica.missing_bytes for replica in self.replicas), default=None)

    @property
    def missing_tasks(self) -> int | None:
        """How many tasks that may be at most; None: there is no replica, so all of them."""
        missing = self.missing_bytes
        return None if missing is None else math.ceil(missing / BYTES_OF_TASK)


@dataclass(frozen=True, slots=True)
class ServerSurvey:
    """One master, asked over one connection.

    Attributes:
        address: ``host:port`` or the path of its socket, never with a password.
        is_local: whether it is reached without a network.
        replies: by question: what it answered, or `Refused`.
        info: the fields of INFO; empty if it was refused.
        config: the reply to CONFIG GET; empty if it was refused.
        clock_offset_ms: by how much its clock is ahead of ours, ms; None: unknown.
        round_trip_ms: how long it took to answer, ms; the clock is known as exactly as that.
        rights: of the user.
        tls: None: the connection is not encrypted.
        tags: the shards that it serves.
        loss: what would be lost if it died now.
    """

    address: str
    is_local: bool = False
    replies: Mapping[str, Any] = field(default_factory=dict)
    info: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)
    clock_offset_ms: float | None = None
    round_trip_ms: float = 0.0
    rights: Rights = field(default_factory=lambda: Rights("", {}))
    tls: Tls | None = None
    tags: tuple[str, ...] = ()
    loss: PossibleLoss = field(default_factory=PossibleLoss)

    def refusal(self, question: str) -> Refused | None:
        """Return how a question was refused; None: it was answered, or not asked."""
        reply = self.replies.get(question)
        return reply if isinstance(reply, Refused) else None

    def number(self, name: str) -> int | None:
        """Return a whole number of INFO; None: it is not known."""
        text = self.info.get(name, "")
        return int(text) if text.lstrip("-").isdigit() else None


class Held(NamedTuple):
    """A claimed message. ``idle_ms``: how long ago it was claimed, by the server's clock."""

    entry: str
    consumer: str
    idle_ms: int


class StreamSurvey(NamedTuple):
    """The stream of one queue and priority.

    ``length``: its messages, claimed ones too. ``pending``: how many are claimed or returned. ``oldest_ms``: when the
    first one came, ms since the epoch. ``held``: some of the claimed ones, the oldest first.
    """

    queue: str
    priority: int
    length: int
    pending: int
    oldest_ms: int
    held: tuple[Held, ...] = ()


@dataclass(frozen=True, slots=True)
class ShardSurvey:
    """What lies in one shard.

    Attributes:
        tag: its tag.
        slot: its slot in a Cluster.
        unfinished: messages that are not finished.
        running: recorded running attempts.
        delayed: messages that are due later.
        expired_leases: claims whose lease is over and that nobody has taken back.
        streams: those with messages in them, at most 200.
        stream_count: how many streams there are.
        workers: those that are registered.
        projects: those that declare schedules here, with their last beat, ms since the epoch.
        now_ms: the server's time, ms since the epoch.
        refused: what could not be read, and why.
    """

    tag: str
    slot: int = 0
    unfinished: int = 0
    running: int = 0
    delayed: int = 0
    expired_leases: int = 0
    streams: tuple[StreamSurvey, ...] = ()
    stream_count: int = 0
    workers: tuple[WorkerInfo, ...] = ()
    projects: Mapping[str, int] = field(default_factory=dict)
    now_ms: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)


class KeySample(NamedTuple):
    """Keys that begin with the prefix, as far as they were looked through.

    ``looked``: how many keys were seen. ``is_whole``: whether that was all. ``foreign``: some that are none of ours.
    ``other_tags``: tags of shards that the settings do not name. ``refused``: why there is no sample.
    """

    looked: int = 0
    is_whole: bool = False
    foreign: tuple[str, ...] = ()
    foreign_count: int = 0
    other_tags: tuple[str, ...] = ()
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """A store, surveyed.

    Attributes:
        servers: its masters.
        shards: its shards.
        keys: a sample of the keys of each master.
        sentinel_warnings: what is wrong with Sentinels that were not needed.
        unused: addresses of masters of the Cluster that have no shard.
        tags_error: why the shards of the settings cannot be those that are noted in the store; empty: they can.
    """

    servers: tuple[ServerSurvey, ...] = ()
    shards: tuple[ShardSurvey, ...] = ()
    keys: tuple[KeySample, ...] = ()
    sentinel_warnings: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    tags_error: str = ""
