"""Calls of the scripts that children send: waiting, claiming, settling; see `calls`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...protocol.keys import Keys, stream_name
from ...protocol.shards import node_of
from ...settings import StoreSettings
from ..types import ClaimRequest, Filter, NewMessage, Outcome, Settled
from .calls import MOST_BYTES, Call, finishing, pairs, script, terms

__all__ = ["claim", "claim_counts", "pass_on", "settle", "settle_chunks", "settle_order", "wake_lists"]


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
            MOST_BYTES,
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
            *finishing(keys, hour),
            keys.progress,
            keys.leases,
            keys.running,
            keys.dead,
            keys.batches,
            keys.news,
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
    """Cut outcomes into calls of at most 100 messages, follow-ups included, and `MOST_BYTES` plus one outcome.

    The follow-ups of an outcome stay with it.
    """
    chunks: list[Sequence[Outcome]] = []
    start = size = weight = 0
    for place, (_, _, _, _, _, _, _, _, result, _, _, _, body, follow) in enumerate(outcomes):
        added = 1 + len(follow)
        if place > start and (size + added > most or weight > MOST_BYTES):
            chunks.append(outcomes[start:place])
            start, size, weight = place, 0, 0
        size += added
        weight += len(body) + len(result)
        if follow:
            weight += sum(len(message.envelope) for message in follow)
    if size:
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
