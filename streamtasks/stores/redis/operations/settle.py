"""Settle attempts: write their outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....protocol.keys import Keys, retention_class, stream_name
from ....protocol.shards import node_of
from ....settings import StoreSettings
from ...types import NewMessage, Outcome, Settled
from ..batches import MOST_BYTES, chunks
from ..scripts import Call, script
from ..shards import Operation, Shards
from .enqueue import conditions
from .read import read_parts

__all__ = ["settle", "settle_call", "settle_chunks", "settle_order"]


def settle_call(
    keys: Keys,
    outcomes: Sequence[Outcome],
    hour: int,
    settings: StoreSettings,
    released: Sequence[str] = (),
    callbacks: str = "",
) -> Call:
    """Build settle: up to 100 outcomes of one shard, grouped; `settle_order` sorts the replies.

    ``released``: tokens that hold nothing any more after this call. ``callbacks``: see `SupervisorStore.settle`.
    """
    numbers: dict[str, int] = {}
    words: list[Any] = []
    records: list[str] = []
    workflows: dict[str, None] = {}
    revoked_ms = settings.keep_ms(success=False)
    kept = {revoked_ms}
    follows: list[tuple[int, NewMessage]] = []
    record = keys.record
    for head, members in _grouped(outcomes).items():
        token, name, state, attempt, ms, reason = head
        words += (len(members), token, numbers.setdefault(name, len(numbers) + 1), state, attempt, ms, reason)
        retry, head_words = state == "RETRY", f"{state} {token} "
        if not retry:
            kept.add(ms)
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
        follow_words += (member, message.id, number, conditions(message), message.envelope)
    retentions = sorted({*map(retention_class, kept)})
    return script("settle").call(
        keys,
        counts=keys.counts(hour),
        counts_next=keys.counts(hour + 1),
        hour=hour,
        keep_ms=settings.index_keep_ms,
        retentions=" ".join(map(str, retentions)),
        dead_kept=settings.max_dead_letters,
        dead_bytes_kept=settings.max_dead_letter_bytes,
        revoked_ms=revoked_ms,
        callbacks=callbacks,
        events_kept=settings.events_kept,
        member_count=len(records),
        follow_count=len(follows),
        workflow_count=len(workflows),
        token_count=len(released),
        streams=numbers,
        more_keys=[
            *records,
            *(keys.record(message.id) for _, message in follows),
            *(keys.record(message.after) for _, message in follows if message.after),
            *map(keys.workflow, workflows),
            *(keys.finished(one, retention) for retention in retentions for one in (hour, hour + 1)),
        ],
        more_args=[*workflows, *released, *follow_words, *words],
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
    """Return the codes of a reply of settle in the order of the outcomes."""
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


def settle(shards: Shards, tag: str, outcomes: Sequence[Outcome], callbacks: str = "") -> Operation[list[Settled]]:
    """See `SupervisorStore.settle`."""
    shard = shards.by_tag[tag]
    answers: list[Settled] = []
    whole: list[Outcome] = []
    for some in chunks(outcomes):
        bare = [o.id for o in some if not o.body and o.state not in ("RETRY", "CALLED")]
        if not bare:
            whole += some
            continue
        # The board holds no bodies: an outcome taken from there gets its message from the store.
        found = yield from read_parts([(shard.keys, bare)])
        bodies = {task_id: parts[0] for task_id, parts in found.items() if len(parts) > 1}
        whole += (o if o.body else o._replace(body=bodies.get(o.id, b"0 ")) for o in some)
    for chunk in settle_chunks(whole):
        while True:
            call = settle_call(shard.keys, chunk, shard.hour(), shards.settings, callbacks=callbacks)
            [reply] = yield [call]
            if reply[0] != b"hour":
                break
            shard.learn_clock(reply[1])
        answers += settle_order(chunk, reply[1:])
    return answers
