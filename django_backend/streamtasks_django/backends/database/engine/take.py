"""Claim messages for a child in a step, best priority first; what `stores.memory.claim` does, on rows."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Q

from streamtasks.stores.memory.claim import claimed_of, hold, worker_has_suspect
from streamtasks.stores.memory.hand_back import REMEMBERED_MS
from streamtasks.stores.memory.limits import count_starts
from streamtasks.stores.memory.state import LiveMessage
from streamtasks.stores.rules import phases
from streamtasks.stores.rules.consumers import RESERVED_MS, worker_of
from streamtasks.stores.steering_types import EVERYTHING, queue_of
from streamtasks.stores.types import Claimed, ClaimRequest, Exchange, Filter

from .shard import SqlShard

__all__ = ["MOST_BYTES", "best_ready", "claim", "filter_of"]

MOST_BYTES: Final = 512 * 1024
READY: Final = Q(phase__in=[phases.QUEUED, phases.SUSPECT])


def filter_of(queues: Filter) -> Q:
    """Return the condition of rows in the queues of a worker."""
    if queues.mode == "all":
        return Q()
    within = Q(queue__in=list(queues.queues))
    return within if queues.mode == "only" else ~within


def claimable(shard: SqlShard) -> Q:
    """Return the condition of rows that somebody may claim: ready ones whose queue and task are not paused."""
    pauses = set(shard.paused)
    if not pauses:
        return READY
    if EVERYTHING in pauses:
        return Q(pk__in=[])
    queues = sorted(filter(None, map(queue_of, pauses)))
    return READY & ~Q(queue__in=queues) & ~Q(skip_reason="", task__in=sorted(shard.paused_tasks()))


def best_ready(shard: SqlShard, queues: Filter) -> int | None:
    """Return the best priority at which there is something to claim of these queues; None: nothing."""
    rows = shard.names.message.objects.using(shard.using).filter(claimable(shard), filter_of(queues))
    found: int | None = rows.order_by("-priority").values_list("priority", flat=True).first()
    return found


class _Taking:
    """The messages that one claim takes, and whether it had to leave others."""

    def __init__(self, shard: SqlShard, consumer: str, token: str, request: ClaimRequest) -> None:
        self.shard = shard
        self.consumer = consumer
        self.token = token
        self.request = request
        self.taken: list[LiveMessage] = []
        self.bytes = 0
        self.left = self.left_suspect = self.suspect_waits = self.took_suspect = False

    def _worker_has_suspect(self) -> bool:
        return worker_has_suspect(self.shard, self.consumer, self.request)

    def offer(self, message: LiveMessage) -> bool:
        """Take a message, or leave it; return whether to go on."""
        if self.request.most <= len(self.taken) or self.took_suspect:
            self.left = True
            return False
        if message.phase == phases.SUSPECT:
            if not self.request.alone or self.taken or self._worker_has_suspect():
                self._leave(message)
                return True
            self.took_suspect, self.suspect_waits = True, False
            self.shard.reserved.pop(message.name, None)
        elif self.taken and self.bytes + len(message.body) > MOST_BYTES:
            self.left = True
            return False
        self.bytes += len(message.body)
        # What must not run is not started; but the follow-up of a suspect's outcome may end the child.
        starts = self.took_suspect or (self.request.most == 1 and not message.skip_reason)
        hold(self.shard, message, self.token, starts=starts)
        self.taken.append(message)
        return True

    def _leave(self, message: LiveMessage) -> None:
        """Leave a suspect, reserved for this consumer if it is for nobody else."""
        self.left_suspect = True
        now = self.shard.now_ms()
        who, until_ms = self.shard.reserved.get(message.name, ("", 0))
        if not self._worker_has_suspect() and (who == self.consumer or not 0 < until_ms - now <= RESERVED_MS):
            self.shard.reserved[message.name] = (self.consumer, now + RESERVED_MS)
            self.suspect_waits = True


def claim(shard: SqlShard, consumer: str, request: ClaimRequest, queues: Filter) -> Exchange:
    """Claim up to ``request.most`` messages; the same sequence again gets the same ones."""
    token = f"{consumer}#{request.sequence}"
    sequence, kind, expires_ms = shard.claims.get(consumer, (0, "", 0))
    if expires_ms > shard.now_ms() and sequence >= request.sequence:
        # The reply was lost, or the keeper has invalidated this claim.
        repeats = kind != "void" and sequence == request.sequence
        same = [claimed_of(message) for message in shard.held_in(token)] if repeats else []
        return _answer(shard, same, run_alone=bool(same) and kind == "alone")
    live: Any = shard.live
    ready = live.rows.filter(claimable(shard))
    served = ready.filter(filter_of(queues)).order_by("-priority", "place")
    if request.tag:
        served = served.filter(priority__gte=request.least)
    taking = _Taking(shard, consumer, token, request)
    for message in live.select(served[: max(1, request.most) + 20]):
        if not taking.offer(message):
            break
    claimed = [claimed_of(message) for message in taking.taken]
    count_starts(shard, taking.taken)
    if claimed:
        shard.leases[token] = shard.now_ms() + shard.settings.lease_ms
        if taking.took_suspect:
            shard.suspects[worker_of(consumer)] = token
        kind = "alone" if taking.took_suspect else "ids"
        shard.claims[consumer] = (request.sequence, kind, shard.now_ms() + REMEMBERED_MS)
    others_only = not claimed and not taking.left and not taking.left_suspect and queues.mode != "all"
    answer = _answer(
        shard,
        claimed,
        suspects=taking.suspect_waits,
        others_only=others_only and ready.exists(),
        run_alone=taking.took_suspect,
    )
    if not request.tag:
        return answer
    live.write()
    return answer._replace(left=best_ready(shard, queues))


def _answer(
    shard: SqlShard,
    claimed: list[Claimed],
    *,
    suspects: bool = False,
    others_only: bool = False,
    run_alone: bool = False,
) -> Exchange:
    return Exchange([], claimed, shard.now_ms(), suspects, others_only, False, run_alone)
