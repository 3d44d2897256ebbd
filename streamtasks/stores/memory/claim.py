"""Claim the next messages for a child, best priority first (claim.lua)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from ..rules import phases
from ..rules.consumers import RESERVED_MS, worker_of
from ..rules.task_names import task_of
from ..steering_types import task_paused_by
from ..types import Claimed, ClaimRequest, Exchange, Filter
from .hand_back import REMEMBERED_MS
from .limits import count_starts, stop_waiting
from .mark_running import note_start
from .shard import Shard
from .state import NOBODY, PAUSED, SUSPECTS, LiveMessage, Stream

__all__ = ["best_ready", "claim", "claimed_of", "hold", "wake_lists", "worker_has_suspect"]

MOST_STREAMS: Final = 16
MOST_TURNS: Final = 4
MOST_LOOKED_AT: Final = 100
MOST_BYTES: Final = 512 * 1024


def wake_lists(queues: Filter) -> tuple[str, ...]:
    """Return the queues whose wake tokens a child with this filter waits for; empty: the token for any queue."""
    return queues.queues if queues.mode == "only" else ("",)


def best_ready(shard: Shard, queues: Filter) -> int | None:
    """Return the best priority at which there is something to claim of these queues; None: nothing."""
    return max((int(name.partition(":")[0]) for name in shard.ready if _serves(queues, name)), default=None)


def claim(shard: Shard, consumer: str, request: ClaimRequest, queues: Filter) -> Exchange:
    """Claim up to ``request.most`` messages; the same sequence again gets the same ones."""
    token = f"{consumer}#{request.sequence}"
    sequence, kind, expires_ms = shard.claims.get(consumer, (0, "", 0))
    if expires_ms > shard.now_ms() and sequence >= request.sequence:
        # The reply was lost, or the keeper has invalidated this claim.
        repeats = kind != "void" and sequence == request.sequence
        same = _same_again(shard, token) if repeats else []
        return _answer(shard, same, run_alone=bool(same) and kind == "alone")
    ready = sorted(shard.ready, key=lambda name: (int(name.partition(":")[0]), name), reverse=True)
    served = [name for name in ready if _serves(queues, name)]
    if not served:
        if ready and queues.mode == "except":
            shard.wake("")  # pass the wake token on to other children
        return _answer(shard, [], others_only=bool(ready))
    taking = _Taking(shard, consumer, token, request)
    work_left = is_worse = False
    for name in _in_turn(served, request.sequence):
        if taking.is_full:
            work_left = True
            break
        if request.tag and int(name.partition(":")[0]) < request.least:
            work_left = is_worse = True
            break
        if taking.drains(shard.stream(name)):
            shard.ready.discard(name)
        else:
            work_left = True
    claimed = taking.claimed
    count_starts(shard, taking.messages)
    if claimed:
        shard.leases[token] = shard.now_ms() + shard.settings.lease_ms
        shard.batches[token] = tuple(c.id for c in claimed)
        kind = "alone" if taking.took_suspect else "ids"
        if taking.took_suspect:
            shard.suspects[worker_of(consumer)] = token
        shard.claims[consumer] = (request.sequence, kind, shard.now_ms() + REMEMBERED_MS)
        if work_left or (queues.mode == "except" and shard.ready):
            for queue in wake_lists(queues):
                shard.wake(queue)
    is_skipped = taking.suspect_waits or taking.skipped_suspect or is_worse
    again = not claimed and work_left and not is_skipped and request.most > 0
    answer = _answer(shard, claimed, suspects=taking.suspect_waits, again=again, run_alone=taking.took_suspect)
    return answer._replace(left=best_ready(shard, queues)) if request.tag else answer


def _answer(
    shard: Shard,
    claimed: list[Claimed],
    *,
    suspects: bool = False,
    others_only: bool = False,
    again: bool = False,
    run_alone: bool = False,
) -> Exchange:
    return Exchange([], claimed, shard.now_ms(), suspects, others_only, again, run_alone)


def _serves(queues: Filter, name: str) -> bool:
    return queues.mode == "all" or (name.partition(":")[2] in queues.queues) == (queues.mode == "only")


def _in_turn(names: list[str], sequence: int) -> list[str]:
    """Rotate the streams of the best priority by the claim's sequence; append the others in their order."""
    priorities = [name.partition(":")[0] for name in names]
    tier = next((at for at, (one, other) in enumerate(pairwise(priorities), 1) if one != other), len(names))
    turns = [names[(sequence + i) % tier] for i in range(min(tier, MOST_STREAMS))]
    return turns + names[tier:MOST_STREAMS]


def _same_again(shard: Shard, token: str) -> list[Claimed]:
    return [claimed_of(message) for message in shard.held_in(token)]


def claimed_of(message: LiveMessage) -> Claimed:
    """Return a message that was claimed, as its child gets it."""
    return Claimed(
        message.id,
        message.token,
        message.name,
        message.entry,
        message.attempts,
        message.retries,
        message.first_ms,
        message.body,
        "revoked" if message.skip_reason == "terminate" else message.skip_reason.replace(":", " ", 1),
    )


def worker_has_suspect(shard: Shard, consumer: str, request: ClaimRequest) -> bool:
    """Whether another child of the consumer's worker holds a suspect, or may hold one of another shard."""
    if not request.suspects:
        return True
    held = shard.suspects.get(worker_of(consumer), "")
    return held.rpartition("#")[0] != consumer and held in shard.leases


def hold(shard: Shard, message: LiveMessage, token: str, *, starts: bool) -> None:
    """Put a message into the hands of a claim; ``starts``: it runs from now on."""
    message.token = token
    if message.skip_reason == "revoked":
        message.phase = phases.REVOKED
    else:
        message.phase = phases.RUNNING if starts else phases.CLAIMED
    message.attempts += 1
    if starts:
        message.started_ms = shard.now_ms()
        message.first_ms = message.first_ms or message.started_ms
        note_start(shard, message)


class _Taking:
    """The messages that one claim takes, and whether it had to leave others."""

    def __init__(self, shard: Shard, consumer: str, token: str, request: ClaimRequest) -> None:
        self.shard = shard
        self.consumer = consumer
        self.token = token
        self.request = request
        self.claimed: list[Claimed] = []
        self.messages: list[LiveMessage] = []
        self.bytes = 0
        self.suspect_waits = self.skipped_suspect = False
        self.took_suspect = False
        self.closed = False
        self.paused_tasks = {task for what in shard.paused if (task := task_paused_by(what))}
        self.look = 1  # entries to look at, at least: more and more while they are of paused tasks

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be added."""
        return self.closed or 0 < self.request.most <= len(self.claimed)

    @property
    def may_take_suspect(self) -> bool:
        """Whether the hands are empty and no other child of this worker holds a suspect."""
        return self.request.alone and not self.claimed and not self._worker_has_suspect()

    def _worker_has_suspect(self) -> bool:
        return worker_has_suspect(self.shard, self.consumer, self.request)

    def _leave_suspect(self, stream: Stream) -> None:
        """Leave a suspect in its stream, reserved for this consumer if it is for nobody else."""
        now = self.shard.now_ms()
        who, until_ms = self.shard.reserved.get(stream.name, ("", 0))
        if self._worker_has_suspect() or (who != self.consumer and 0 < until_ms - now <= RESERVED_MS):
            self.skipped_suspect = True
        else:
            self.shard.reserved[stream.name] = (self.consumer, now + RESERVED_MS)
            self.suspect_waits = not self.took_suspect

    def drains(self, stream: Stream) -> bool:
        """Take from a stream until it is drained or the hands are full; return whether nothing is left in it."""
        suspects = stream.owned_by(SUSPECTS, 1)
        if suspects and not self.may_take_suspect:
            self._leave_suspect(stream)
        elif suspects:
            self._take(stream, suspects, suspect=True)
            if self.claimed:
                self.closed = True  # a suspect is alone: nothing is added to it
                return False
        for _ in range(MOST_TURNS):
            want = self.request.most - len(self.claimed)
            if want <= 0 or self.closed:
                return False
            want = max(want, self.look)
            entries = stream.owned_by(NOBODY, want)
            if entries:
                self._take(stream, entries)
                continue
            entries = [stream.unread.popleft() for _ in range(min(want, len(stream.unread)))]
            self._take(stream, entries)
            if self.closed:
                return False
            if not stream.unread:
                return not stream.owned_by(SUSPECTS, 1)
        return False

    def _paused_task(self, message: LiveMessage | None) -> str:
        """Return the name of a message's task if that is paused; what must not run is not held up."""
        if not self.paused_tasks or message is None or message.skip_reason:
            return ""
        task = task_of(message.body)
        return task if task in self.paused_tasks else ""

    def _take(self, stream: Stream, entries: Iterable[str], *, suspect: bool = False) -> None:
        met_paused = False
        for entry in entries:
            task_id = stream.entries[entry]
            message = self.shard.live.get(task_id)
            delayed_suspect = message is not None and message.phase == phases.SUSPECT and not suspect
            if message is None or message.phase not in (phases.QUEUED, phases.SUSPECT):
                stream.drop(entry)  # it is finished, revoked, or has another entry by now
            elif task := self._paused_task(message):
                stream.owners[entry] = PAUSED + task
                stop_waiting(self.shard, message)  # its token is given up
                met_paused = True
            elif delayed_suspect and not self.may_take_suspect:
                stream.owners[entry] = SUSPECTS
                if not self.took_suspect:
                    self._leave_suspect(stream)
            elif self.closed or (self.claimed and (self.is_full or self.bytes + len(message.body) > MOST_BYTES)):
                stream.owners[entry] = NOBODY
                self.closed = True
            else:
                if suspect or delayed_suspect:
                    self.closed = self.took_suspect = True
                    self.suspect_waits = False
                    self.shard.reserved.pop(stream.name, None)
                stream.owners[entry] = self.token
                # What must not run is not started; but the follow-up of a suspect's outcome may end the child.
                alone_now = self.request.most == 1 and not message.skip_reason
                self._hold(message, entry, starts=alone_now or suspect or delayed_suspect)
        if met_paused:
            self.look = min(self.look * 8, MOST_LOOKED_AT)

    def _hold(self, message: LiveMessage, entry: str, *, starts: bool) -> None:
        message.entry = entry
        hold(self.shard, message, self.token, starts=starts)
        self.bytes += len(message.body)
        self.claimed.append(claimed_of(message))
        self.messages.append(message)
