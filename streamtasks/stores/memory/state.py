"""What a shard in memory holds: unfinished messages, records of finished ones, streams, workflows and schedules."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from ...protocol.heard import EVERYTHING
from ...protocol.state import DeadLetter
from ..bulk_types import BulkCounts
from ..rules import phases
from ..types import Limit
from ..workflow_types import FanIn

__all__ = [
    "NOBODY",
    "PAUSED",
    "SUSPECTS",
    "BulkMembers",
    "FanInState",
    "LiveMessage",
    "Record",
    "Schedule",
    "Stream",
    "WorkflowState",
    "is_free",
]

NOBODY: Final = "returned"
SUSPECTS: Final = "suspect"
PAUSED: Final = "paused:"
"""Owners of entries that nobody holds: of returned ones, of those that must be claimed alone, of each paused task."""


@dataclass(slots=True)
class LiveMessage:
    """A message that is not finished; the words of the state line under their own names.

    ``token`` holds the claim, ``settled`` ended an attempt last; both empty: nobody. ``skip_reason`` is why it must not
    run: ``"revoked"``, ``"terminate"`` or ``"parent:<id>"``. ``after`` is the task it waits for,
    ``after_due_ms`` when it is due once that has succeeded, and ``after_delay_ms`` how long after it. ``suspect``: a
    suspect that waits for its limit. ``then``: what follows a workflow's node, as in `workflow_types.Node`.
    ``expires_ms``: from a second later it needs no token of its limit. ``hears``: see `protocol.heard`.
    """

    id: str
    body: bytes
    name: str
    phase: str = phases.QUEUED
    token: str = ""
    entry: str = ""
    attempts: int = 0
    crashes: int = 0
    lost: int = 0
    first_ms: int = 0
    started_ms: int = 0
    settled: str = ""
    limit: Limit | None = None
    suspect: bool = False
    expires_ms: int = 0
    skip_reason: str = ""
    after: str = ""
    after_due_ms: int = 0
    after_delay_ms: int = 0
    then: str = ""
    hears: str = EVERYTHING
    history: bytes = b""
    progress: bytes = b""

    @property
    def retries(self) -> int:
        """Attempts before the current one that asked to be run again."""
        return self.attempts - 1 - self.crashes - self.lost

    @property
    def is_running(self) -> bool:
        """Whether its attempt is known to run."""
        return phases.is_running(self.phase, self.started_ms)

    @property
    def active_limit(self) -> Limit | None:
        """The limit that it has to wait for; None if there is none, or if it must not run anyway."""
        return None if self.skip_reason else self.limit

    @property
    def is_blank(self) -> bool:
        """Whether it is queued without a past: nothing but the message itself is worth keeping then."""
        return self.phase == phases.QUEUED and not (
            self.attempts or self.crashes or self.lost or self.skip_reason or self.limit or self.then
        )

    def held_by(self, token: str) -> bool:
        """Return whether this token holds the claim."""
        return self.token == token and self.phase in phases.HELD

    def leave(self, phase: str) -> None:
        """Leave the hands that held it, for another phase."""
        if self.phase == phases.REVOKED:
            self.skip_reason = "revoked"
        self.token, self.phase, self.started_ms, self.progress = "", phase, 0, b""
        if self.is_blank:
            self.first_ms, self.settled = 0, ""


@dataclass(slots=True)
class Record:
    """A finished message. ``state`` is empty for one that was revoked before it was enqueued.

    ``deleted``: nobody can read it any more, but its id is still known.
    """

    state: str
    token: str
    finished_ms: int
    expires_ms: int
    first_ms: int = 0
    started_ms: int = 0
    attempts: int = 0
    body: bytes = b""
    result: bytes = b""
    history: bytes = b""
    deleted: bool = False


@dataclass(slots=True)
class Stream:
    """Entries of one queue and priority; ``used_ms``: when the latest was made; ``added``: how many there were.

    ``unread`` ones belong to nobody yet; of the others ``owners`` says who has them: the token of a claim, `NOBODY` or
    `SUSPECTS`.
    """

    name: str
    entries: dict[str, str] = field(default_factory=dict)
    unread: deque[str] = field(default_factory=deque)
    owners: dict[str, str] = field(default_factory=dict)
    used_ms: int = 0
    added: int = 0

    @property
    def queue(self) -> str:
        """The queue's name."""
        return self.name.partition(":")[2]

    def owned_by(self, owner: str, most: int) -> list[str]:
        """Return the oldest entries of an owner."""
        return sorted((entry for entry, who in self.owners.items() if who == owner), key=entry_age)[:most]

    def drop(self, entry: str) -> None:
        """Acknowledge and delete an entry."""
        owned = self.owners.pop(entry, None) is not None
        if self.entries.pop(entry, None) is not None and not owned and entry in self.unread:
            self.unread.remove(entry)


def is_free(owner: str) -> bool:
    """Return whether the owner of an entry is nobody."""
    return owner in (NOBODY, SUSPECTS) or owner.startswith(PAUSED)


def entry_age(entry: str) -> tuple[int, int]:
    """Return the sort key of an entry by age."""
    ms, _, number = entry.partition("-")
    return int(ms), int(number)


@dataclass(slots=True)
class FanInState:
    """How far a fan-in is. ``phase``: ``o`` open, ``r`` what follows was released, ``f`` it must fail."""

    of: FanIn
    cancels: bool
    succeeded: int
    failed: int = 0
    phase: str = "o"


@dataclass(slots=True)
class WorkflowState:
    """What is kept of a workflow.

    ``late``: deadlines of its fan-ins. ``expires_ms``: 0 while it is not finished; ``keep_ms``: the longest time for
    which the record of a node is kept. ``fields``: results, as in `gather`, each in two parts, of which the second is
    the record's own. ``cancel``: fan-ins that are to be revoked.
    """

    nodes: int
    plan: bytes
    started_ms: int
    fan_ins: list[FanInState]
    late: dict[int, int] = field(default_factory=dict)
    fields: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    finished: int = 0
    failed: int = 0
    keep_ms: int = 0
    expires_ms: int = 0
    cancel: list[str] = field(default_factory=list)


@dataclass(slots=True)
class BulkMembers:
    """What a bulk operation is about on one shard.

    ``discarded``: dead letters that it has discarded, with their sizes; they can be put back until
    ``discarded_until_ms``.
    """

    members: list[str] = field(default_factory=list)
    counts: BulkCounts = BulkCounts()  # noqa: RUF009 - a tuple
    discarded: list[tuple[DeadLetter, int]] = field(default_factory=list)
    discarded_until_ms: int = 0


@dataclass(slots=True)
class Schedule:
    """A schedule: its definition, and how far it is. ``declared_ms``: when a worker last declared it."""

    revision: int
    definition: bytes
    rule: str
    declared: str
    declared_ms: int
    next_ms: int | None
    paused: bool = False
    fired: int = 0
    missed: int = 0
    last_ms: int = 0
    last_id: str = ""

    @property
    def due_ms(self) -> int | None:
        """When it is to be fired next; None: not at all."""
        return None if self.paused else self.next_ms
