"""The store's operations, written once: generators that yield calls and are sent the replies.

A driver (`RedisStore`, `AsyncRedisStore`) sends a list of calls to one shard's server in one round trip
and sends the list of replies back in; the generator's return value is the operation's result.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Container, Generator, Iterable, Sequence
from itertools import islice
from typing import Any

import orjson

from ...exceptions import DecodeError
from ...protocol.keys import Keys, stream_name
from ...protocol.message import Message, split_body
from ...protocol.shards import limiter_tag, tag_of
from ...protocol.state import Snapshot
from ...protocol.wire import Wire
from ...settings import StoreSettings
from ..types import (
    Admission,
    Alive,
    Ask,
    Charge,
    Claimed,
    Exhausted,
    Grant,
    Limit,
    NewMessage,
    Outcome,
    Promotion,
    Reclaim,
    Revocation,
    Settled,
    Void,
)
from . import calls, child_calls, supervisor_calls
from .batches import MOST, batches
from .calls import Call
from .snapshots import from_reply

__all__ = ["Operation", "Operations", "Shard"]

type Operation[T] = Generator[list[Call], list[Any], T]

_STREAM_WANTED = 4
MOST_NAMES = 32
MOST_SWEPT = 16


class Shard:
    """Keys of one shard and what was learnt of it."""

    __slots__ = ("clock_offset_ms", "keys", "names")

    def __init__(self, prefix: str, tag: str) -> None:
        self.keys = Keys(prefix, tag)
        self.names: OrderedDict[str, None] = OrderedDict()  # streams met lately, newest last
        self.clock_offset_ms = 0

    def learn(self, names: Iterable[bytes]) -> None:
        for raw in names:
            name = raw.decode()
            self.names[name] = None
            self.names.move_to_end(name)
        while len(self.names) > MOST_NAMES:
            self.names.popitem(last=False)

    def learn_clock(self, now_ms: int) -> None:
        self.clock_offset_ms = now_ms - time.time_ns() // 1_000_000

    def hour(self) -> int:
        return (time.time_ns() // 1_000_000 + self.clock_offset_ms) // 3_600_000


def _chunks[T](items: Iterable[T], size: int = MOST) -> Iterable[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


class Operations:
    """Build every operation of one store. Holds no connection; may be shared between threads."""

    def __init__(self, settings: StoreSettings) -> None:
        self.settings = settings
        self.tags = settings.tags
        self.shards = {tag: Shard(settings.key_prefix, tag) for tag in settings.tags}

    def tag_of(self, task_id: str) -> str:
        """Return the tag of the shard on which an id lives."""
        return tag_of(task_id, self.tags)

    def _by_tag(self, ids: Iterable[str]) -> dict[str, list[int]]:
        places: dict[str, list[int]] = {}
        for place, task_id in enumerate(ids):
            places.setdefault(self.tag_of(task_id), []).append(place)
        return places

    def enqueue(self, messages: Sequence[NewMessage]) -> Operation[list[bool]]:
        """See `Store.enqueue`. Messages of one stream are accepted in the order given."""
        accepted = [False] * len(messages)
        requests: list[Call] = []
        places_of: list[list[int]] = []
        for tag, places in self._by_tag(m.id for m in messages).items():
            keys = self.shards[tag].keys
            for some in batches(places, lambda place: len(messages[place].envelope)):
                requests.append(calls.enqueue(keys, [messages[place] for place in some], self.settings))
                places_of.append(some)
        replies = yield requests
        for some, reply in zip(places_of, replies, strict=True):
            for place, code in zip(some, reply[1:], strict=True):
                accepted[place] = code == 1
        return accepted

    def read(self, ids: Sequence[str]) -> Operation[list[Snapshot | None]]:
        """See `Store.read`."""
        found: list[Snapshot | None] = [None] * len(ids)
        requests: list[Call] = []
        places_of: list[list[int]] = []
        for tag, places in self._by_tag(ids).items():
            for some in _chunks(places):
                requests.append(calls.read(self.shards[tag].keys, [ids[place] for place in some]))
                places_of.append(some)
        replies = yield requests
        for some, reply in zip(places_of, replies, strict=True):
            for place, part in zip(some, reply, strict=True):
                found[place] = from_reply(ids[place], part, self.settings.wire)
        return found

    def settle(self, tag: str, outcomes: Sequence[Outcome], callbacks: str = "") -> Operation[list[Settled]]:
        """See `SupervisorStore.settle`."""
        shard = self.shards[tag]
        answers: list[Settled] = []
        whole: list[Outcome] = []
        for some in _chunks(outcomes):
            bare = [o.id for o in some if not o.body and o.state not in ("RETRY", "CALLED")]
            if not bare:
                whole += some
                continue
            # The board holds no bodies: an outcome taken from there gets its message from the store.
            [found] = yield [calls.read(shard.keys, bare)]
            bodies = {i: parts[0] for i, parts in zip(bare, found, strict=True) if len(parts) > 1}
            whole += (o if o.body else o._replace(body=bodies.get(o.id, b"0 ")) for o in some)
        for chunk in child_calls.settle_chunks(whole):
            while True:
                call = child_calls.settle(shard.keys, chunk, shard.hour(), self.settings, callbacks=callbacks)
                [reply] = yield [call]
                if reply[0] != b"hour":
                    break
                shard.learn_clock(reply[1])
            answers += child_calls.settle_order(chunk, reply[1:])
        return answers

    def revoke(self, task_id: str, terminate: bool) -> Operation[Revocation]:
        """See `Store.revoke`."""
        shard = self.shards[self.tag_of(task_id)]
        name = ""
        while True:
            call = calls.revoke(shard.keys, task_id, shard.hour(), self.settings, name, terminate=terminate)
            [reply] = yield [call]
            if reply[0] == b"hour":
                shard.learn_clock(reply[1])
            elif reply[1] != _STREAM_WANTED:
                return Revocation(reply[1])
            elif not (name := reply[2].decode()):
                [[parts]] = yield [calls.read(shard.keys, [task_id])]
                if len(parts) > 1:
                    name = _stream_of(parts[0], self.settings.wire, task_id)

    def doomed(self, tag: str, claimed: Sequence[Claimed]) -> Operation[list[str]]:
        """See `SupervisorStore.doomed`."""
        answers: list[str] = []
        for some in _chunks(claimed):
            [reply] = yield [supervisor_calls.doomed(self.shards[tag].keys, some)]
            answers += (word.decode() for word in reply)
        return answers

    def hand_back(
        self,
        tag: str,
        claimed: Sequence[Claimed],
        void: Void | None = None,
        gone: bool = False,
        alone: Container[str] = (),
    ) -> Operation[list[bool]]:
        """See `SupervisorStore.hand_back`."""
        shard = self.shards[tag]
        answers: list[bool] = []
        for some in list(_chunks(claimed)) or [[]]:
            last = len(answers) + len(some) == len(claimed)
            names: list[str] = list(shard.names) if void and last else []
            done = [False] * len(some)
            while True:
                what = void if last else None
                [reply] = yield [supervisor_calls.hand_back(shard.keys, some, names, what, gone, alone)]
                done = [before or code == 1 for before, code in zip(done, reply[2:], strict=True)]
                if not reply[1]:
                    break
                shard.learn(reply[1])
                names = [*names, *(raw.decode() for raw in reply[1])]
            answers += done
        return answers

    def charge(self, tag: str, attempts: Sequence[tuple[Claimed, int, str]]) -> Operation[list[Charge]]:
        """See `SupervisorStore.charge`."""
        settings = self.settings
        answers: list[Charge] = []
        for some in _chunks(attempts):
            delay_ms = round(settings.crash_delay_s * 1000)
            [reply] = yield [supervisor_calls.charge(self.shards[tag].keys, some, settings.crash_limit, delay_ms)]
            answers += map(Charge, reply[1:])
        return answers

    def promote(self, tag: str) -> Operation[Promotion]:
        """See `SupervisorStore.promote`: all that are due now, in bounded steps."""
        shard = self.shards[tag]
        promoted = 0
        while True:
            [reply] = yield [supervisor_calls.promote(shard.keys, list(shard.names), MOST)]
            promoted += reply[1]
            shard.learn(reply[3])
            if reply[2] > 0 or reply[2] == -1:
                return Promotion(promoted, reply[2] if reply[2] > 0 else None)

    def admit(self, tag: str, grants: Sequence[Grant]) -> Operation[Admission]:
        """See `SupervisorStore.admit`."""
        shard = self.shards[tag]
        admitted = 0
        while True:
            [reply] = yield [supervisor_calls.admit(shard.keys, list(shard.names), grants, MOST)]
            admitted += reply[1]
            if not reply[3]:
                break
            shard.learn(reply[3])  # a grant counts once: those that were taken are passed over
        flat = reply[4]
        asks = [
            Ask(Limit(name.decode(), int(interval), int(burst)), tokens, number)
            for name, interval, burst, tokens, number in (flat[at : at + 5] for at in range(0, len(flat), 5))
        ]
        return Admission(admitted, asks, reply[2] if reply[2] >= 0 else None)

    def take(self, asks: Sequence[Ask]) -> Operation[list[Grant]]:
        """See `SupervisorStore.take`. A limiter lives on a shard that its name tells."""
        grants: list[Grant] = []
        by_tag: dict[str, list[Ask]] = {}
        for ask in asks:
            by_tag.setdefault(limiter_tag(ask.limit.name, self.tags), []).append(ask)
        for tag, of_tag in by_tag.items():
            keys = self.shards[tag].keys
            for some in _chunks(of_tag):
                [reply] = yield [supervisor_calls.take([keys.limiter(ask.limit.name) for ask in some], some)]
                grants += (
                    Grant(ask.limit.name, ask.number, reply[1 + 2 * place], reply[2 + 2 * place])
                    for place, ask in enumerate(some)
                )
        return grants

    def reclaim(self, tag: str) -> Operation[Reclaim]:
        """See `SupervisorStore.reclaim`."""
        shard, settings = self.shards[tag], self.settings
        report = '{"kind":"LOST"'
        total = 0
        exhausted: list[Exhausted] = []
        while True:
            call = supervisor_calls.reclaim(
                shard.keys, list(shard.names), MOST, settings.lost_limit, settings.lease_ms, report
            )
            [reply] = yield [call]
            total += reply[1]
            flat = reply[3]
            for at in range(0, len(flat), 7):
                task_id, token, name, entry, attempt, started, first = flat[at : at + 7]
                exhausted.append(
                    Exhausted(
                        task_id.decode(),
                        token.decode(),
                        name.decode(),
                        entry.decode(),
                        int(attempt),
                        int(started),
                        int(first),
                    )
                )
            shard.learn(reply[2])
            if not reply[2] and not reply[4]:
                return Reclaim(total, exhausted)

    def mark_running(self, tag: str, attempts: Sequence[tuple[Claimed, int]]) -> Operation[list[bool]]:
        """See `SupervisorStore.mark_running`."""
        answers: list[bool] = []
        for some in _chunks(attempts):
            [reply] = yield [supervisor_calls.mark_running(self.shards[tag].keys, some, self.settings)]
            answers += (code == 1 for code in reply[1:])
        return answers

    def renew(self, tag: str, tokens: Sequence[str]) -> Operation[list[bool]]:
        """See `SupervisorStore.renew`."""
        answers: list[bool] = []
        for some in _chunks(tokens):
            [reply] = yield [supervisor_calls.renew(self.shards[tag].keys, some, self.settings.lease_ms)]
            answers += (code == 1 for code in reply[1:])
        return answers

    def beat(self, tag: str, worker: str, info: dict[str, Any] | None) -> Operation[Alive]:
        """See `SupervisorStore.beat`."""
        lease_ms = self.settings.lease_ms
        text = "" if info is None else orjson.dumps(info).decode()
        [reply] = yield [
            supervisor_calls.beat(self.shards[tag].keys, worker, text, lease_ms, max(20 * lease_ms, 600_000))
        ]
        return Alive(reply[0], reply[1])

    def sweep(self, tag: str, idle_ms: int) -> Operation[int]:
        """See `SupervisorStore.sweep`."""
        keys = self.shards[tag].keys
        removed: int = 0
        place = 0
        names: list[str] = []
        while True:
            [reply] = yield [supervisor_calls.sweep(keys, names, idle_ms, place, MOST_SWEPT)]
            removed += reply[0]
            names = [raw.decode() for raw in reply[1]]
            place += len(names)
            if not names:
                return removed

    def progress(self, tag: str, reports: Sequence[tuple[Claimed, bytes]]) -> Operation[list[bool]]:
        """See `SupervisorStore.progress`."""
        answers: list[bool] = []
        for some in _chunks(reports):
            [reply] = yield [supervisor_calls.progress(self.shards[tag].keys, some)]
            answers += (code == 1 for code in reply)
        return answers


def _stream_of(body: bytes, wire: Wire, task_id: str) -> str:
    """Return the name of the stream of a message that has no state line yet: it stands in its envelope."""
    try:
        message = Message.decode(split_body(body)[1], wire, task_id)
        return stream_name(message.queue, message.priority)
    except DecodeError:
        return stream_name("default", 0)  # what this process cannot read may be revoked like any other
