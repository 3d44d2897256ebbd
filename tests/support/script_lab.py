"""Run scripts on one shard of a real server, by hand, and see every key they leave behind.

A `ScriptLab` sends the scripts as the store does, but calls them one by one and watches them: a script that touches
a key it did not declare fails, on every path that a test takes. `tests.support.server_dump` reads the whole server,
so a key that leaks makes the comparison fail by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import batched
from typing import TYPE_CHECKING, Any, NamedTuple

from streamtasks.protocol.keys import RETENTIONS_H
from streamtasks.stores.redis.operations.admit import admit_call, read_grants, take_call
from streamtasks.stores.redis.operations.claim import claim_call, claim_counts
from streamtasks.stores.redis.operations.delete_finished import (
    IndexEntry,
    delete_finished_call,
    finished_call,
    index_page,
)
from streamtasks.stores.redis.operations.enqueue import enqueue_call
from streamtasks.stores.redis.operations.hand_back import charge_call, hand_back_call, reclaim_call
from streamtasks.stores.redis.operations.inspection import active_call, events_call, statistics_call, workers_call
from streamtasks.stores.redis.operations.leases import beat_call, mark_running_call, progress_call, renew_call
from streamtasks.stores.redis.operations.promote import promote_call
from streamtasks.stores.redis.operations.read import read_call
from streamtasks.stores.redis.operations.revoke import revocations_call, revoke_call
from streamtasks.stores.redis.operations.settle import settle_call, settle_order
from streamtasks.stores.redis.shards import Operation, Request
from streamtasks.stores.tokens import TokenGrant, TokenRequest
from streamtasks.stores.types import Claimed, ClaimId, ClaimRequest, Filter, Limit, NewMessage, Outcome
from tests.support.declared_keys import checked_source
from tests.support.server_dump import text
from tests.support.shard_view import ShardView
from tests.support.users import script_client

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from streamtasks.stores.redis.scripts import Call

LEASE_MS = 30_000
KEEP_MS = 900_000
RESULT = b'{"r":1}'


class Claim(NamedTuple):
    """The answer to a claim."""

    kind: str
    now: int
    flags: int
    claimed: list[Claimed]
    streams: list[str]

    @property
    def ids(self) -> list[str]:
        return [c.id for c in self.claimed]


class AdmitReply(NamedTuple):
    """The answer to admit."""

    admitted: int
    asks: list[TokenRequest]
    next_us: int | None


@dataclass
class ScriptLab(ShardView):
    """A shard, and the scripts run on it one by one."""

    def raw(self, call: Call) -> Any:
        source, client = checked_source(call.script.source), script_client(self.client)
        if client is self.client:
            return client.eval(source, len(call.keys), *call.keys, *call.args)
        return client.evalsha(str(client.script_load(source)), len(call.keys), *call.keys, *call.args)

    def run(self, call: Call) -> Any:
        """Run a call; the reply as text. The server's time in it becomes `now`."""
        reply = text(self.raw(call))
        if reply and isinstance(reply[0], int) and reply[0] > 1_000_000_000_000:
            self.now = reply[0]
        return reply

    def complete[T](self, operation: Operation[T], most_rounds: int = 12) -> tuple[T, int]:
        """Run an operation of the store; return its result and how many round trips it took."""
        replies: list[Any] | None = None
        for rounds in range(most_rounds):
            try:
                calls = next(operation) if replies is None else operation.send(replies)
            except StopIteration as stop:
                return stop.value, rounds
            replies = [self.raw(call) for call in (calls.calls if isinstance(calls, Request) else calls)]
        raise AssertionError(f"not complete after {most_rounds} round trips")

    def enqueue(
        self,
        *ids: str,
        queue: str = "default",
        priority: int = 0,
        body: bytes = b"{}",
        due_ms: int | None = None,
        delay_ms: int | None = None,
        after: str = "",
        limit: Limit | None = None,
        expires_ms: int = 0,
        expires_in_ms: int = 0,
        hears: str = "",
    ) -> list[int]:
        messages = [
            NewMessage(task_id, queue, priority, body, due_ms, delay_ms, limit, after, expires_ms, expires_in_ms, hears)
            for task_id in ids
        ]
        codes: list[int] = self.run(enqueue_call(self.keys, messages, self.settings))[1:]
        return codes

    def enqueue_one_by_one(self, *ids: str, **options: Any) -> list[int]:
        """Enqueue in calls of their own; return when each was accepted."""
        times = []
        for task_id in ids:
            assert self.enqueue(task_id, **options) == [1]
            times.append(self.now)
        return times

    def claim_call(
        self,
        candidates: Sequence[str],
        consumer: str = "w",
        seq: int = 1,
        count: int = 10,
        *,
        alone: bool = True,
        queues: Filter | None = None,
        max_bytes: int | None = None,
    ) -> Call:
        request = ClaimRequest(seq, count, alone)
        call = claim_call(self.keys, consumer, request, queues or Filter(), candidates, self.settings)
        if max_bytes is not None:
            call.args[5] = max_bytes
        return call

    def claim_with(self, candidates: Sequence[str], consumer: str = "w", seq: int = 1, **options: Any) -> Claim:
        """Send one claim with these candidates."""
        reply = text(self.raw(self.claim_call(candidates, consumer, seq, **options)))
        self.now = reply[1]
        if reply[0] != "ok":
            return Claim(reply[0], reply[1], 0, [], reply[2:])
        token = f"{consumer}#{seq}"
        claimed = []
        for part in range(3, len(reply), 3):
            name, flat, pairs = reply[part : part + 3]
            counts = dict(zip(pairs[::2], pairs[1::2], strict=True))
            for at in range(0, len(flat), 3):
                entry, task_id, body = flat[at : at + 3]
                attempt, retries, first, skip = claim_counts(counts.get(at // 3 + 1, "1 0 0").encode())
                claimed.append(Claimed(task_id, token, name, entry, attempt, retries, first, body.encode(), skip))
        return Claim("ok", reply[1], reply[2], claimed, [])

    def claim(self, consumer: str = "w", seq: int = 1, **options: Any) -> Claim:
        """Claim as a child does: if the candidates are the wrong ones, again with those named in the answer."""
        answer = self.claim_with([], consumer, seq, **options)
        if answer.kind == "streams":
            answer = self.claim_with(answer.streams, consumer, seq, **options)
        assert answer.kind != "streams"
        return answer

    def claim_one(self, consumer: str = "w", seq: int = 1, **options: Any) -> Claimed:
        """Claim exactly one message, which then counts as running."""
        [claimed] = self.claim(consumer, seq, count=1, **options).claimed
        return claimed

    def settle(
        self,
        *outcomes: Outcome,
        hour: int | None = None,
        released: Sequence[str] | None = None,
        callbacks: str = "",
    ) -> list[int]:
        """Settle, and release the claims that hold nothing more."""
        if released is None:
            released = sorted({o.token for o in outcomes})
        hour = self.hour() if hour is None else hour
        call = settle_call(self.keys, outcomes, hour, self.settings, released, callbacks)
        return [int(code) for code in settle_order(outcomes, self.run(call)[1:])]

    def revoke(self, task_id: str, name: str = "", *, terminate: bool = False, hour: int | None = None) -> list[Any]:
        """Return (code, name of the stream that is wanted)."""
        hour = self.hour() if hour is None else hour
        call = revoke_call(self.keys, [(task_id, name)], hour, self.settings, terminate=terminate)
        reply: list[Any] = self.run(call)
        return reply[1:]

    def revoke_many(self, *members: tuple[str, str], terminate: bool = False, most_bytes: int = 0) -> list[Any]:
        """Revoke (id, name of its stream or "") in one call; return (code, name of the stream wanted) of each."""
        call = revoke_call(self.keys, members, self.hour(), self.settings, terminate=terminate)
        if most_bytes:
            call.args[6] = most_bytes
        return list(batched(self.run(call)[1:], 2))

    def revocations(self, *claimed: Claimed) -> list[str]:
        words: list[str] = self.run(revocations_call(self.keys, claimed))
        return words

    def hand_back(
        self,
        *claimed: Claimed,
        names: Sequence[str] = (),
        invalidate: ClaimId | None = None,
        gone: bool = False,
        alone: Container[str] = (),
    ) -> Any:
        """Return (names missing, codes)."""
        reply = self.run(hand_back_call(self.keys, claimed, names, invalidate, gone, alone))
        return reply[1], reply[2:]

    def charge(
        self,
        *claimed: Claimed,
        limit: int = 3,
        delay_ms: int = 10_000,
        report: str = '{"kind":"CRASH"}',
        started: int = 5,
    ) -> list[int]:
        codes: list[int] = self.run(charge_call(self.keys, [(c, started, report) for c in claimed], limit, delay_ms))[
            1:
        ]
        return codes

    def promote(self, *names: str, most: int = 100) -> Any:
        """Return (promoted, next due in ms, missing names)."""
        _, missing, promoted, next_us = self.run(promote_call(self.keys, names, most))
        return promoted, math.ceil(next_us / 1000) if next_us > 0 else next_us, missing

    def take(self, *asks: TokenRequest) -> list[TokenGrant]:
        """Ask the limiters of this shard."""
        reply = self.run(take_call(self.keys, asks))
        return read_grants(asks, reply[1:])

    def admit(self, *grants: TokenGrant, names: Sequence[str] = (), most: int = 100) -> tuple[AdmitReply, list[str]]:
        """Return the admission and the names of missing streams."""
        _, missing, admitted, next_us, flat, _ = self.run(admit_call(self.keys, names, grants, most))
        asks = [
            TokenRequest(Limit(*flat[at : at + 1], *map(int, flat[at + 1 : at + 3])), *flat[at + 3 : at + 5])
            for at in range(0, len(flat), 5)
        ]
        return AdmitReply(admitted, asks, next_us if next_us >= 0 else None), missing

    def admit_now(self, *names: str) -> int:
        """Ask for what is due and admit what is granted, as a keeper does; return how many were admitted."""
        admission, _ = self.admit(names=names)
        admitted = 0
        while admission.asks:
            admission, missing = self.admit(*self.take(*admission.asks), names=names)
            assert missing == []
            admitted += admission.admitted
        return admitted

    def reclaim(self, *names: str, most: int = 100, lost_limit: int = 10) -> Any:
        """Return (reclaimed, missing names, exhausted, stopped early)."""
        report = '{"kind":"LOST"'
        call = reclaim_call(self.keys, names, most, lost_limit, LEASE_MS, report)
        _, missing, reclaimed, exhausted, more = self.run(call)
        return reclaimed, missing, exhausted, more

    def mark_running(self, *claimed: Claimed, ago_ms: int = 0) -> list[int]:
        codes: list[int] = self.run(mark_running_call(self.keys, [(c, ago_ms) for c in claimed], self.settings))[1:]
        return codes

    def renew(self, *tokens: str, lease_ms: int = LEASE_MS) -> list[int]:
        codes: list[int] = self.run(renew_call(self.keys, tokens, lease_ms))[1:]
        return codes

    def beat(
        self,
        worker: str = "host",
        info: str = "{}",
        lease_ms: int = LEASE_MS,
        prune_ms: int = 600_000,
        listens_ms: int = 0,
    ) -> int:
        """Return how long reclaim is held back."""
        hold: int = self.run(beat_call(self.keys, worker, info, lease_ms, prune_ms, listens_ms))[1]
        return hold

    def progress(self, *claimed: Claimed, data: bytes = b"{}") -> list[int]:
        codes: list[int] = self.run(progress_call(self.keys, [(c, data) for c in claimed]))
        return codes

    def read(self, *ids: str) -> Any:
        return self.run(read_call(self.keys, ids))

    def active(self, most: int = 100) -> Any:
        return self.run(active_call(self.keys, most))[1:]

    def statistics(self, *fields: str) -> Any:
        return self.run(statistics_call(self.keys, fields))

    def workers(self, most: int = 1000) -> Any:
        return self.run(workers_call(self.keys, most))

    def finished(
        self, hour: int, after: IndexEntry | None = None, most: int = 100, retentions: Sequence[int] = RETENTIONS_H
    ) -> list[IndexEntry]:
        return index_page(self.raw(finished_call(self.keys, hour, retentions, after, most)), retentions)

    def forget(self, hour: int, *entries: IndexEntry, before_ms: int | None = None, known_ms: int = 0) -> int:
        """Return how many records of one class went; by default whatever finished until now does, and all of it."""
        before_ms = self.server_ms() + 1 if before_ms is None else before_ms
        retention_h = entries[0].retention_h
        ids = [(one.entry, one.all_ids) for one in entries]
        forgotten: int = self.run(delete_finished_call(self.keys, hour, retention_h, ids, before_ms, known_ms))[1]
        return forgotten

    def events(self, after: str = "", most: int = 100) -> Any:
        return self.run(events_call(self.keys, after, most))


def outcome(claimed: Claimed, state: str = "SUCCESS", *, started: int | None = None, **changes: Any) -> Outcome:
    """An outcome of a claimed message; by default one that started when it was claimed."""
    made = Outcome(
        claimed.id,
        claimed.token,
        claimed.stream,
        claimed.entry,
        claimed.attempt,
        claimed.first_started_ms,
        claimed.first_started_ms if started is None else started,
        state,
        b"" if state == "RETRY" else RESULT,
        '{"kind":"RETRY"}' if state == "RETRY" else "",
        0 if state == "RETRY" else KEEP_MS,
        0,
        claimed.body,
    )
    return made._replace(**changes)


def claimed_batch(lab: ScriptLab, *ids: str) -> list[Claimed]:
    """Claim these together; each will have started at 5."""
    lab.enqueue(*ids)
    claimed = lab.claim("w", 1, count=100).claimed
    assert [c.id for c in claimed] == list(ids)
    lab.take_tokens()
    return claimed
