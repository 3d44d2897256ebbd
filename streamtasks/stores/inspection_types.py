"""What the inspecting calls of a `Store` return: running attempts, events, counts, workers."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

__all__ = [
    "LATEST",
    "LISTENS",
    "LISTENS_MS",
    "LIVE_MS",
    "MOST_AHEAD",
    "WATCHED_EVENTS",
    "WATCH_MS",
    "Active",
    "Event",
    "Events",
    "NewLog",
    "Standing",
    "Statistics",
    "WorkerInfo",
]

LISTENS: Final = "listens"
"""In what a worker reports of itself: whether something in it is called with the end of every task."""

LISTENS_MS: Final = 7 * 86_400_000
"""For how long that is remembered after the last beat, ms."""


LIVE_MS: Final = 30_000
"""A worker that has been silent for longer, ms, counts as gone."""


LATEST: Final = "$"
"""The cursor of events that returns none, and the cursor behind the latest."""

WATCH_MS: Final = 30_000
"""For how long after the last look of somebody who watches events they are written, ms."""

WATCHED_EVENTS: Final = 1000
"""How many entries of events are kept then; each may concern 100 tasks."""

MOST_AHEAD: Final = 1000
"""Messages that stand before another one are counted up to so many."""


class Standing(NamedTuple):
    """What decides when an unfinished message is claimed. Times are ms since the epoch by the store's clock, 0: none.

    Attributes:
        now_ms: the time.
        phase: see `rules.phases`.
        stream: the name of its stream: ``"<priority>:<queue>"``.
        token: of the claim that holds it; empty: nobody does.
        lease_ms: until when that claim lives.
        crashes: how often its process has ended while it ran.
        lost: how often its worker has vanished while it ran.
        skip_reason: why it will not run, but end when it is claimed: ``"revoked"``, ``"parent:<id>"``; empty: it runs.
        limit: its rate limit; empty: none.
        limit_us: the limit allows one start in so long, microseconds.
        limit_ms: when a token of the limit is asked for next.
        limit_ahead: messages that wait for the limit before it, up to `MOST_AHEAD`.
        ahead: messages of its queue and priority that nobody holds and that come before it, up to `MOST_AHEAD`.
        better: names of streams of a better priority in which there is something to claim, 16 at most.
        last_beat_ms: when any worker last gave a sign of life on its shard.
        hold_until_ms: until then nothing is taken back from workers that have vanished.
    """

    now_ms: int
    phase: str
    stream: str
    token: str = ""
    lease_ms: int = 0
    crashes: int = 0
    lost: int = 0
    skip_reason: str = ""
    limit: str = ""
    limit_us: int = 0
    limit_ms: int = 0
    limit_ahead: int = 0
    ahead: int = 0
    better: tuple[str, ...] = ()
    last_beat_ms: int = 0
    hold_until_ms: int = 0

    @property
    def consumer(self) -> str:
        """The child that holds it; empty: nobody does."""
        return self.token.rpartition("#")[0]


class Active(NamedTuple):
    """A running attempt, started at ``started_ms`` (ms since the epoch) by the consumer ``worker``.

    ``body`` is ``b"<enqueued ms> <envelope>"``.
    """

    id: str
    started_ms: int
    worker: str
    body: bytes


class Event(NamedTuple):
    """Something that happened to a message at ``at_ms``, ms since the epoch.

    ``kind`` and ``detail``: ``accepted`` and the name of its stream, ``started`` and the consumer that runs it,
    ``settled`` and its outcome (RETRY included), ``revoked`` and ``wait`` or ``terminate`` (while somebody held it).
    """

    at_ms: int
    kind: str
    id: str
    detail: str


class Events(NamedTuple):
    """Events in the order of their times; ``cursor``: where to continue."""

    events: list[Event]
    cursor: str


class Statistics(NamedTuple):
    """Counts since the store was first used. ``outcomes``: by state. ``run_ms``: run time of finished attempts, ms."""

    unfinished: int
    running: int
    delayed: int
    outcomes: dict[str, int]
    run_ms: int


class WorkerInfo(NamedTuple):
    """A registered worker: its last sign of life, ms since the epoch, and its description of itself.

    ``silent_ms``: how long that sign was ago by the store's clock, ms. A worker gives one every 5 to 10 s; one
    that was killed stays registered for 10 minutes or longer.
    """

    name: str
    beat_ms: int
    about: dict[str, Any]
    silent_ms: int = 0

    @property
    def is_live(self) -> bool:
        """Whether it has given a sign of life in the last 30 s."""
        return self.silent_ms <= LIVE_MS

    def serves(self, queue: str) -> bool:
        """Whether it serves a queue."""
        mode = self.about.get("queue_mode", "all")
        return bool(mode == "all" or (queue in self.about.get("queues", ())) == (mode == "only"))


class NewLog(NamedTuple):
    """Lines that attempts of a task have logged, to be kept with it; see `protocol.log_lines`.

    ``first``: lines; ``left_out``: how many behind these were dropped; ``last``: lines behind those.
    """

    id: str
    first: bytes = b""
    left_out: int = 0
    last: bytes = b""
