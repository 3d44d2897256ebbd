"""One function per script: build its KEYS and ARGV. Nothing here talks to a server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import streamtasks_lua

from ..keys import Keys, stream_name
from ..settings import StoreSettings
from ..shards import node_of
from ..transitions import Ask, Claimed, ClaimRequest, Filter, Grant, NewMessage, Outcome, Settled, Void

__all__ = ["Call", "Script", "pairs", "script", "terms"]

REPLY_BYTES = 1024 * 1024
"""A claim returns no more envelopes than this, plus one."""


_NO_TERMS = tuple(NewMessage._field_defaults.values())[:4]


class Script(NamedTuple):
    """A script and the SHA1 by which EVALSHA names it."""

    name: str
    source: str
    sha: str


class Call(NamedTuple):
    """One EVALSHA to be."""

    script: Script
    keys: list[str]
    args: list[Any]

    def command(self) -> tuple[Any, ...]:
        """Return the words of the command."""
        return ("EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.args)


@cache
def script(name: str) -> Script:
    """Return a script by its name."""
    source = streamtasks_lua.source(name)
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


def pairs(keys: Keys, names: Iterable[str]) -> list[str]:
    """Return stream and wake list of each named stream, as include/streams.lua wants them."""
    found = []
    for name in names:
        found.append(keys.stream(name))
        found.append(keys.queue_wake(name.partition(":")[2]))
    return found


def enqueue(keys: Keys, messages: Sequence[NewMessage], settings: StoreSettings) -> Call:
    """Build enqueue: up to 100 messages of one shard."""
    numbers: dict[str, int] = {}
    members: list[Any] = []
    for message in messages:
        number = numbers.setdefault(stream_name(message.queue, message.priority), len(numbers) + 1)
        members += (message.id, number, terms(message), message.envelope)
    return Call(
        script("enqueue"),
        [
            keys.messages,
            keys.state,
            keys.delayed,
            keys.ready,
            keys.streams,
            keys.wake,
            keys.control,
            keys.links,
            keys.totals,
            keys.done,
            keys.events,
            keys.waiting,
            keys.limits,
            keys.asking,
            *pairs(keys, numbers),
            *(keys.record(message.id) for message in messages),
            *(keys.record(message.after) for message in messages if message.after),
        ],
        [len(messages), settings.events_kept, len(numbers), *numbers, *members],
    )


def terms(message: NewMessage) -> str:
    """Return what a message waits for, as include/accept.lua reads it; empty: nothing."""
    if message[4:8] == _NO_TERMS:
        return ""
    words = []
    if message.due_ms is not None:
        words.append(f"at={message.due_ms}")
    elif message.delay_ms is not None:
        words.append(f"in={message.delay_ms}")
    if message.limit is not None:
        words.append(f"limit={message.limit.interval_us},{message.limit.burst},{message.limit.name}")
        if message.expires_ms:
            words.append(f"until={message.expires_ms}")
    if message.after:
        words.append(f"after={message.after}")
    return " ".join(words)


def wake_lists(keys: Keys, queues: Filter) -> list[str]:
    """Return the wake lists that a child with this filter waits on."""
    if queues.mode == "only":
        return [keys.queue_wake(queue) for queue in queues.queues]
    return [keys.wake]


def pass_on(keys: Keys, queues: Filter) -> Call:
    """Build pass_on for a child with this filter."""
    return Call(script("pass_on"), [keys.ready, *wake_lists(keys, queues)], [queues.mode, *queues.queues])


def claim(
    keys: Keys,
    consumer: str,
    request: ClaimRequest,
    queues: Filter,
    candidates: Sequence[str],
    settings: StoreSettings,
) -> Call:
    """Build claim with the caller's candidate streams."""
    wakes = wake_lists(keys, queues)
    return Call(
        script("claim"),
        [
            keys.ready,
            keys.messages,
            keys.state,
            keys.leases,
            keys.running,
            keys.claim(consumer),
            keys.dead,
            keys.batches,
            keys.limits,
            keys.asking,
            keys.control,
            keys.news,
            keys.events,
            *wakes,
            *map(keys.stream, candidates),
        ],
        [
            consumer,
            request.sequence,
            request.most,
            settings.lease_ms,
            int(request.alone),
            REPLY_BYTES,
            settings.max_dead_letters,
            settings.events_kept,
            len(wakes),
            len(queues.queues),
            queues.mode,
            *queues.queues,
            *candidates,
        ],
    )


def claim_counts(words: bytes) -> tuple[int, int, int, str]:
    """Read what claim answers of a message's past: attempt, retries, first start in ms, and `Claimed.doom`."""
    attempt, retries, first, *doom = words.split(b" ")
    return int(attempt), int(retries), int(first), doom[0].decode().replace(":", " ", 1) if doom else ""


def settle(
    keys: Keys,
    outcomes: Sequence[Outcome],
    hour: int,
    settings: StoreSettings,
    released: Sequence[str] = (),
    callbacks: str = "",
) -> Call:
    """Build settle: up to 100 outcomes of one shard, grouped; `settle_order` says how the replies lie.

    ``released``: tokens that hold nothing any more after this call. ``callbacks``: see `SupervisorStore.settle`.
    """
    numbers: dict[str, int] = {}
    words: list[Any] = []
    records: list[str] = []
    workflows: dict[str, None] = {}
    follows: list[tuple[int, NewMessage]] = []
    record = keys.record
    for head, members in _grouped(outcomes).items():
        token, name, state, attempt, ms, reason = head
        words += (len(members), token, numbers.setdefault(name, len(numbers) + 1), state, attempt, ms, reason)
        retry, head_words = state == "RETRY", f"{state} {token} "
        for task_id, _, _, entry, _, first_ms, started_ms, _, result, note, _, _, body, follow in members:
            if retry:
                words += (task_id, entry, started_ms, note)
            else:  # a final record without the words that only the server knows
                tail = f"{first_ms or started_ms} {started_ms} {attempt} {len(body)} {len(result)}\n"
                words += (task_id, entry, started_ms, b"%b%b%b" % ((head_words + tail).encode(), body, result))
            records.append(record(task_id))
            if ".w" in task_id and (node := node_of(task_id)) is not None:
                workflows[node[0]] = None
            if follow:
                follows += ((len(records), message) for message in follow)
    follow_words: list[Any] = []
    for member, message in follows:
        number = numbers.setdefault(stream_name(message.queue, message.priority), len(numbers) + 1)
        follow_words += (member, message.id, number, terms(message), message.envelope)
    return Call(
        script("settle"),
        [
            keys.messages,
            keys.state,
            keys.history,
            keys.progress,
            keys.leases,
            keys.running,
            keys.delayed,
            keys.ready,
            keys.streams,
            keys.wake,
            keys.control,
            keys.done,
            keys.dead,
            keys.totals,
            keys.finished(hour),
            keys.finished(hour + 1),
            keys.counts(hour),
            keys.counts(hour + 1),
            keys.batches,
            keys.links,
            keys.events,
            keys.waiting,
            keys.limits,
            keys.asking,
            *pairs(keys, numbers),
            *records,
            *(keys.record(message.id) for _, message in follows),
            *(keys.record(message.after) for _, message in follows if message.after),
            *((keys.unfolding, *map(keys.workflow, workflows)) if workflows else ()),
        ],
        [
            hour,
            settings.index_keep_ms,
            settings.max_dead_letters,
            settings.keep_ms(success=False),
            callbacks,
            settings.events_kept,
            len(records),
            len(follows),
            len(numbers),
            len(workflows),
            *numbers,
            *workflows,
            len(released),
            *released,
            *follow_words,
            *words,
        ],
    )


def settle_chunks(outcomes: Sequence[Outcome], most: int = 100) -> list[Sequence[Outcome]]:
    """Cut outcomes into calls of at most 100 messages, follow-ups included (those of one outcome stay with it)."""
    if len(outcomes) <= most and not any(o.follow for o in outcomes):
        return [outcomes] if outcomes else []
    chunks: list[Sequence[Outcome]] = []
    start = size = 0
    for place, o in enumerate(outcomes):
        weight = 1 + len(o.follow)
        if place > start and size + weight > most:
            chunks.append(outcomes[start:place])
            start, size = place, 0
        size += weight
    chunks.append(outcomes[start:])
    return chunks


def settle_order(outcomes: Sequence[Outcome], codes: Sequence[int]) -> list[Settled]:
    """Bring the codes that settle answered into the order of the outcomes."""
    if all(code == 1 for code in codes):
        return [Settled.DONE] * len(codes)
    by_member: dict[tuple[str, str], int] = {}
    members = (o for group in _grouped(outcomes).values() for o in group)
    for o, code in zip(members, codes, strict=True):
        by_member.setdefault((o.id, o.token), code)
    return [Settled(by_member[o.id, o.token]) for o in outcomes]


def _grouped(outcomes: Sequence[Outcome]) -> dict[tuple[Any, ...], list[Outcome]]:
    groups: dict[tuple[Any, ...], list[Outcome]] = {}
    for o in outcomes:
        _, token, stream, _, attempt, _, _, state, _, note, keep_ms, delay_ms, _, _ = o
        retry = state == "RETRY"
        head = (token, stream, state, attempt, delay_ms if retry else keep_ms, "" if retry else note)
        members = groups.get(head)
        if members is None:
            groups[head] = [o]
        else:
            members.append(o)
    return groups


def hand_back(
    keys: Keys,
    claimed: Sequence[Claimed],
    names: Iterable[str],
    void: Void | None,
    gone: bool,
) -> Call:
    """Build hand_back; ``names`` are streams known besides those of the messages."""
    all_names = list(dict.fromkeys([*(c.stream for c in claimed), *names]))
    consumer, sequence = void or ("", 0)
    return Call(
        script("hand_back"),
        [
            keys.state,
            keys.leases,
            keys.running,
            keys.ready,
            keys.wake,
            keys.claim(consumer),
            keys.messages,
            keys.streams,
            keys.progress,
            keys.batches,
            keys.waiting,
            keys.limits,
            keys.asking,
            keys.control,
            *pairs(keys, all_names),
        ],
        [
            consumer,
            sequence,
            int(gone),
            len(all_names),
            *all_names,
            *(word for c in claimed for word in (c.id, c.token)),
        ],
    )


def charge(keys: Keys, attempts: Sequence[tuple[Claimed, int, str]], limit: int, delay_ms: int) -> Call:
    """Build charge: (claimed, started ms, report) of attempts whose child died."""
    names = list(dict.fromkeys(c.stream for c, _, _ in attempts))
    return Call(
        script("charge"),
        [
            keys.state,
            keys.leases,
            keys.running,
            keys.ready,
            keys.wake,
            keys.delayed,
            keys.control,
            keys.history,
            keys.totals,
            keys.progress,
            keys.messages,
            keys.streams,
            keys.batches,
            keys.waiting,
            keys.limits,
            keys.asking,
            *pairs(keys, names),
        ],
        [
            limit,
            delay_ms,
            len(names),
            *names,
            *(word for c, started, report in attempts for word in (c.id, c.token, started, report)),
        ],
    )


def promote(keys: Keys, names: Sequence[str], most: int) -> Call:
    """Build promote with the stream names the caller knows of."""
    return Call(
        script("promote"),
        [
            keys.delayed,
            keys.messages,
            keys.state,
            keys.ready,
            keys.streams,
            keys.wake,
            keys.waiting,
            keys.limits,
            keys.asking,
            keys.control,
            keys.links,
            *pairs(keys, names),
        ],
        [most, len(names), *names],
    )


def take(limiters: Sequence[str], asks: Sequence[Ask]) -> Call:
    """Build take: up to 100 asks, with the keys of their limiters."""
    return Call(
        script("take"),
        list(limiters),
        [word for ask in asks for word in (ask.limit.interval_us, ask.limit.burst, ask.tokens)],
    )


def admit(keys: Keys, names: Sequence[str], grants: Sequence[Grant], most: int) -> Call:
    """Build admit with the stream names the caller knows of."""
    return Call(
        script("admit"),
        [
            keys.waiting,
            keys.limits,
            keys.asking,
            keys.messages,
            keys.state,
            keys.ready,
            keys.streams,
            keys.wake,
            *pairs(keys, names),
        ],
        [
            most,
            len(names),
            *names,
            *(word for grant in grants for word in grant),
        ],
    )


def reclaim(keys: Keys, names: Sequence[str], most: int, lost_limit: int, lease_ms: int, report: str) -> Call:
    """Build reclaim with the stream names the caller knows of."""
    return Call(
        script("reclaim"),
        [
            keys.leases,
            keys.state,
            keys.running,
            keys.ready,
            keys.wake,
            keys.beat,
            keys.messages,
            keys.streams,
            keys.totals,
            keys.history,
            keys.progress,
            keys.batches,
            keys.waiting,
            keys.limits,
            keys.asking,
            keys.control,
            *pairs(keys, names),
        ],
        [most, lost_limit, lease_ms, report, len(names), *names],
    )


def mark_running(keys: Keys, attempts: Sequence[tuple[Claimed, int]], settings: StoreSettings) -> Call:
    """Build mark_running: (claimed, ms since it started)."""
    return Call(
        script("mark_running"),
        [keys.state, keys.running, keys.news, keys.events],
        [settings.events_kept, *(word for c, ago_ms in attempts for word in (c.id, c.token, ago_ms))],
    )


def renew(keys: Keys, tokens: Sequence[str], lease_ms: int) -> Call:
    """Build renew: up to 100 tokens."""
    return Call(
        script("renew"),
        [keys.leases],
        [lease_ms, *tokens],
    )


def beat(keys: Keys, worker: str, info: str, lease_ms: int, prune_ms: int) -> Call:
    """Build beat; empty ``info``: the worker leaves."""
    return Call(script("beat"), [keys.workers, keys.worker_info, keys.beat], [worker, info, lease_ms, prune_ms])


def progress(keys: Keys, reports: Sequence[tuple[Claimed, bytes]]) -> Call:
    """Build progress."""
    return Call(
        script("progress"),
        [keys.state, keys.progress, keys.news],
        [word for c, data in reports for word in (c.id, c.token, data)],
    )


def sweep(keys: Keys, names: Sequence[str], idle_ms: int, next_at: int, most: int) -> Call:
    """Build sweep of these streams; it returns the names of the next ``most`` from place ``next_at``."""
    return Call(script("sweep"), [keys.streams, *map(keys.stream, names)], [idle_ms, next_at, most])


def read(keys: Keys, ids: Sequence[str]) -> Call:
    """Build read: up to 100 ids of one shard."""
    workflows = dict.fromkeys(node[0] for one in ids if ".w" in one and (node := node_of(one)) is not None)
    return Call(
        script("read"),
        [
            keys.messages,
            keys.state,
            keys.history,
            keys.progress,
            keys.delayed,
            *map(keys.record, ids),
            *map(keys.workflow, workflows),
        ],
        [len(ids), *ids, *workflows],
    )


def revoke(
    keys: Keys, task_id: str, hour: int, settings: StoreSettings, name: str = "", *, terminate: bool = False
) -> Call:
    """Build revoke; ``name``: of the stream, as far as known."""
    node = node_of(task_id) if ".w" in task_id else None
    workflow = "" if node is None else node[0]
    return Call(
        script("revoke"),
        [
            keys.messages,
            keys.state,
            keys.history,
            keys.delayed,
            keys.ready,
            keys.streams,
            keys.wake,
            keys.control,
            keys.done,
            keys.totals,
            keys.finished(hour),
            keys.finished(hour + 1),
            keys.counts(hour),
            keys.counts(hour + 1),
            keys.links,
            keys.events,
            keys.waiting,
            keys.limits,
            keys.asking,
            keys.record(task_id),
            keys.unfolding,
            keys.workflow(workflow),
            *(pairs(keys, [name]) if name else ()),
        ],
        [
            task_id,
            int(terminate),
            hour,
            settings.index_keep_ms,
            settings.keep_ms(success=False),
            settings.events_kept,
            name,
            workflow,
        ],
    )


def doomed(keys: Keys, claimed: Sequence[Claimed]) -> Call:
    """Build doomed: up to 100 messages."""
    return Call(script("doomed"), [keys.state], [word for c in claimed for word in (c.id, c.token)])
