"""Send calls and wait, in the same packet, until replicas or files have what they wrote.

WAIT and WAITAOF concern what their connection has written. A call that finds its message known writes nothing, and WAIT
behind it would return at once, although no replica has the message: so `touch` goes first and writes something, behind
what was written before. Calls and WAIT stand in one packet, so that no failover comes between them: where the
connection breaks, all of it is sent again.

In a Cluster each master that the calls concern is waited for, all at once: WAIT behind what it was sent, as many
replicas as it has.
"""

from __future__ import annotations

import time
from collections.abc import Sequence, Set
from typing import Any, Final, NamedTuple

from redis.exceptions import NoPermissionError, ResponseError

from ....exceptions import AccessDenied, NotDurable, ServerNotSupported
from ....protocol.durability import AOF, LEVELS, MEMORY, Durability
from ....protocol.keys import Keys
from ....settings import StoreSettings
from .. import connections
from ..endpoints import endpoint_of
from ..replica_count import ReplicaCount, connected_replicas, replica_nodes
from ..scripts import Answer, Behind, Call, script
from ..shards import Operation, Request, Shards

__all__ = ["PROBES", "check_replies", "durable_calls", "probe", "strongest", "touch_call"]

INFO: Final = ("INFO", "replication")

FIRST_WAIT_S: Final[dict[str, float]] = {"replicated": 0.5, "aof": 1.0}
"""With Sentinels: after so long, seconds, they are asked whether a replica is away. Files take up to a second."""

PROBE_S: Final = 0.25
"""How often they are asked then."""

PROBES: Final[dict[str, tuple[Any, ...]]] = {"replicated": ("WAIT", 0, 1), "aof": ("WAITAOF", 1, 0, 1)}
"""A command for each level that shows whether the server knows and allows what it needs, without waiting."""


def touch_call(keys: Keys, first_id: str) -> Call:
    """Build touch."""
    return script("touch").call(keys, id=first_id)


def strongest(asked: Set[Durability | None], settings: StoreSettings) -> Durability:
    """Return the strongest of several levels; None stands for that of the settings."""
    return LEVELS[max((LEVELS.index(level or settings.durability) for level in asked), default=0)]


def durable_calls(
    shards: Shards,
    calls: Sequence[Call],
    level: Durability,
    retry_time_s: float,
    ids: Sequence[str],
    what: str = "task",
) -> Operation[list[list[Any]]]:
    """Send calls and return their replies once their writes are as durable as asked for.

    They are sent once more if a replica has come meanwhile, or if one that was waited for is away. So there are replies
    to each time; the first say what is new.

    Args:
        shards: of the store.
        calls: what writes; each may be repeated.
        level: not ``"memory"``.
        retry_time_s: for how long they are repeated while the server cannot be reached, seconds.
        ids: what they write, for errors.
        what: "task" or "workflow".

    Raises:
        ServerNotSupported: the server cannot give this level. Nothing was sent.
        AccessDenied: this user may not ask for it. Nothing was sent.
        NotDurable: it was not reached in time. What the calls write is written on the master.
    """
    settings, counts = shards.settings, shards.replica_counts
    if level not in counts.given or not _is_possible(level, counts.fewest(settings)):
        yield from probe(shards, level, retry_time_s)
    # One for each shard: a shard that moves to another master takes it there.
    touches = [touch_call(shards.by_tag[tag].keys, ids[0]) for tag in dict.fromkeys(call.tag for call in calls)]
    requests = [*touches, *calls]
    endpoint = endpoint_of(settings)
    may_be_away = settings.replicas is None and endpoint.search is not None
    all_replies: list[list[Any]] = []
    waited_s = 0.0
    while True:
        began = time.monotonic()
        left_s = settings.durability_wait_s - waited_s
        first_s = left_s if all_replies or not may_be_away else min(left_s, FIRST_WAIT_S[level])

        def behind(master: str, began: float = began, left_s: float = left_s, first_s: float = first_s) -> Behind:
            count = counts.of(master)
            needed = count.needed(settings)
            # Right after a failover it is known who is away, and the others still have to follow the new master.
            follows = needed < count.total(settings) and count.changes != endpoint.changes
            wait_s = left_s if follows else first_s
            wait_ms = max(1, round(wait_s * 1000))
            # Behind the wait: a replica that came during it, and acknowledged in place of another one, is noticed.
            asks = settings.replicas is None and (began >= count.look_at or needed < count.total(settings))
            wait = ("WAITAOF", 1, needed, wait_ms) if level == AOF else ("WAIT", needed, wait_ms)
            return Behind([wait, INFO] if asks else [wait], wait_s, needed)

        replies = yield Request(requests, retry_time_s, behind)
        all_replies.append(replies[len(touches) : len(requests)])
        answers: list[Answer] = replies[len(requests) :]
        lacks = [_lack_of(shards, level, answer) for answer in answers]
        if not any(lacks):
            return all_replies
        wait_s = max(answer.behind.slow_s for answer in answers)
        waited_s += min(wait_s, time.monotonic() - began)
        for lack in filter(None, lacks):
            if lack.reason or (wait_s >= left_s and lack.is_short) or waited_s >= settings.durability_wait_s:
                raise _not_durable(lack, level, waited_s, ids, what)
        # A replica has come that was not waited for: wait for it as well. Or one does not answer.
        if may_be_away:
            waited_s += yield from _until_connected(shards, settings.durability_wait_s - waited_s, retry_time_s)


class _Lack(NamedTuple):
    """What is missing at one master. ``is_short``: fewer have it than were waited for."""

    where: str
    fsynced: bool | None
    acknowledged: int
    wanted: int
    reason: str
    is_short: bool


def _lack_of(shards: Shards, level: Durability, answer: Answer) -> _Lack | None:
    """Return what is missing by one master's answer; None: nothing is."""
    settings, count = shards.settings, shards.replica_counts.of(answer.master)
    asked = len(answer.replies) > 1
    connected = _learn(count, answer.replies[1], answer.changes) if asked else 0
    fsynced, acknowledged, reason = _acknowledged(level, answer.replies[0])
    # What this master says counts, whatever another thread learns meanwhile of another one.
    wanted = max(connected, count.needed(settings, answer.changes)) if asked else count.total(settings)
    if asked and _is_outranked(settings, answer.replies[1]):
        wanted += 1
    if fsynced is not False and acknowledged >= wanted:
        return None
    is_short = acknowledged < answer.behind.replicas or fsynced is False
    where = answer.master or connections.address(settings)
    return _Lack(where, fsynced, acknowledged, wanted, reason, is_short)


def _until_connected(shards: Shards, left_s: float, retry_time_s: float) -> Operation[float]:
    """Wait until as many replicas are connected as are needed, or fewer are needed because one is away.

    After a failover the old master is not connected: instead of waiting for it in vain, Sentinels are asked again and
    again. Nothing is sent that writes, so replies of replicas to what was written are not put off.

    Returns:
        How long it took, seconds; a bit less than ``left_s`` at most.
    """
    settings, count, search = shards.settings, shards.replica_counts.of(""), endpoint_of(shards.settings).search
    began = time.monotonic()
    is_connected = is_outranked = False
    while not is_connected and time.monotonic() - began < left_s - PROBE_S:
        if search is not None:
            search.look_at = min(search.look_at, time.monotonic())
        needed = count.needed(settings) + is_outranked  # more than there are: the wait takes its time
        behind = Behind([("WAIT", needed, round(PROBE_S * 1000)), INFO], PROBE_S)
        [answer] = yield Request([], retry_time_s, lambda _, behind=behind: behind)  # type: ignore[misc]
        info = answer.replies[-1]
        if isinstance(info, Exception):
            break
        _learn(count, info, answer.changes)
        is_outranked = _is_outranked(settings, info)
        is_connected = count.connected >= count.needed(settings) and not is_outranked
    return time.monotonic() - began


def _is_outranked(settings: StoreSettings, info: Any) -> bool:
    """Whether Sentinels would promote a replica that is away before any of those that are connected to the master.

    So it is after a failover while the old master, which follows already, has not been seen as a replica, and the only
    other one is away: then that one may come back and be the next master, without what only the old one has.
    """
    search = endpoint_of(settings).search
    if settings.replicas is not None or search is None or isinstance(info, Exception):
        return False
    return search.outranks(replica_nodes(bytes(info)))


def probe(shards: Shards, level: Durability, retry_time_s: float | None = None) -> Operation[None]:
    """Learn how many replicas there are, and that the server can give a level.

    Raises:
        ServerNotSupported: it cannot.
        AccessDenied: this user may not ask for it.
    """
    answers = yield Request([], retry_time_s, lambda _: Behind([INFO, PROBES[level]]))
    for answer in answers:
        where = answer.master or connections.address(shards.settings)
        check_replies(shards.settings, where, shards.replica_counts.of(answer.master), level, answer)
    shards.replica_counts.given.add(level)


def check_replies(
    settings: StoreSettings, where: str, count: ReplicaCount, level: Durability, answered: Answer
) -> None:
    """Check one master's replies to `INFO` and to one of `PROBES`; take in how many replicas there are.

    Raises:
        ServerNotSupported: the server cannot give this level.
        AccessDenied: this user may not ask for it.
    """
    command = PROBES[level][0]
    info, answer = answered.replies
    if isinstance(answer, NoPermissionError):
        raise AccessDenied(
            f"{where} refuses {command}, which durability {level!r} needs: {answer}. Allow it: ACL SETUSER ... "
            f"+{command.lower()}"
        )
    if isinstance(answer, ResponseError) and "unknown command" in str(answer).lower():
        raise ServerNotSupported(
            f"{where} has no {command}, which durability {level!r} needs: use Redis 7.2 or Valkey 8 or later, or "
            "durability 'replicated'."
        )
    if isinstance(answer, ResponseError) and "appendonly" in str(answer):
        raise ServerNotSupported(
            f"{where} has appendonly off, so it cannot give durability {level!r}. Switch it on: CONFIG SET appendonly "
            "yes, and the same in its configuration file and in those of its replicas."
        )
    if isinstance(answer, Exception):
        raise ServerNotSupported(f"{where} cannot give durability {level!r}: {command} answers {answer}")
    search = endpoint_of(settings).search
    if isinstance(info, Exception):
        if settings.replicas is None and (search is None or search.replicas is None):
            raise AccessDenied(
                f"{where} refuses INFO ({info}), so it is not known how many replicas durability {level!r} has to wait "
                "for. Allow it (ACL SETUSER ... +info), or set replicas."
            )
    else:
        _learn(count, info, answered.changes)
    if not _is_possible(level, count.needed(settings)):
        raise ServerNotSupported(
            f"{where} has no replicas, so it cannot give durability {level!r}. Attach replicas, or use 'aof' (its own "
            "file) or 'memory'."
        )


def _is_possible(level: Durability, replicas: int) -> bool:
    return level in (MEMORY, AOF) or replicas > 0


def _learn(count: ReplicaCount, info: Any, changes: int) -> int:
    """Take in what a master says of its replicas; return how many are connected, 0: it does not say."""
    if isinstance(info, Exception):
        return 0
    connected = connected_replicas(bytes(info))
    count.learn(connected, time.monotonic(), changes)
    return connected


def _acknowledged(level: Durability, reply: Any) -> tuple[bool | None, int, str]:
    """Return whether the master has it in its file (None: not asked), how many replicas have it, and an error."""
    if isinstance(reply, Exception):
        return False if level == AOF else None, 0, str(reply)
    if level == AOF:
        return bool(reply[0]), reply[1], ""
    return None, reply, ""


def _not_durable(lack: _Lack, level: Durability, waited_s: float, ids: Sequence[str], what: str) -> NotDurable:
    where, fsynced, acknowledged, wanted, reason, _ = lack
    who = f"{what} {ids[0]} is" if len(ids) == 1 else f"{len(ids)} {what}s (first {ids[0]}) are"
    parts = []
    if fsynced is not None:
        parts.append(f"the master has {'' if fsynced else 'not '}written it to its file")
    if wanted or fsynced is None:
        has = "have it in their files" if level == AOF else "have it"
        parts.append(f"{acknowledged} of {wanted} replicas {has}")
    why = f" ({reason})" if reason else ""
    again = "with task_id= that of this error" if what == "task" else "by starting it once more, which is another one"
    return NotDurable(
        f"{who} enqueued at {where}, but not {level!r}: {' and '.join(parts)} after "
        f"{waited_s:.1f} s{why}. It runs unless a fault loses it; the same call may be repeated {again}.",
        ids[0],
        task_ids=tuple(ids),
        durability=level,
        acknowledged=acknowledged,
        replicas=wanted,
        fsynced=fsynced,
        waited_s=waited_s,
    )
