"""Two stores side by side, one of them a model of the other: each call goes to both, and the answers must agree."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import redis

from streamtasks import StoreSettings
from streamtasks.exceptions import QueueNotEmpty
from streamtasks.protocol.json import dumps
from streamtasks.protocol.keys import Keys, stream_name
from streamtasks.protocol.message import Message
from streamtasks.stores.bulk_types import Move
from streamtasks.stores.memory import AsyncMemoryStore, MemoryServer, MemoryStore
from streamtasks.stores.redis import AsyncRedisStore, RedisStore
from streamtasks.stores.types import Claimed, ClaimRequest, Filter, NewMessage, Promotion, Reclaim
from tests.support.manual_consumer import outcome_of
from tests.support.workflow_deadlines import end_in_memory, end_on_server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from streamtasks.protocol.state import DeadLetter, Snapshot
    from streamtasks.stores.schedule_store import DueSchedule
    from streamtasks.stores.types import Exchange, Outcome, Revocation

TAG = "u0"


class ClaimedPair(NamedTuple):
    """One claimed message as each store gave it out: their entries and times differ."""

    real: Claimed
    model: Claimed


class StorePair:
    """A Redis store and a memory store with the same settings; a context manager."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.settings = StoreSettings(url=url, **settings)
        self.server = MemoryServer()
        self.real, self.model = RedisStore(self.settings), MemoryStore(self.settings, self.server)
        self._keepers: tuple[Any, Any] = (
            AsyncRedisStore(self.settings),
            AsyncMemoryStore(self.settings, self.server),
        )
        self._loop = asyncio.Runner()
        self._client = redis.Redis.from_url(url)
        self._keys = Keys(self.settings.key_prefix, TAG)
        self._channels: dict[tuple[str, Filter], tuple[Any, Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for channels in self._channels.values():
            for channel in channels:
                channel.close()
        self._loop.close()
        self._client.close()

    # -- calls ---------------------------------------------------------------------------------------

    def enqueue(self, messages: Sequence[NewMessage]) -> list[bool]:
        return same(self.real.enqueue(messages), self.model.enqueue(messages))

    def revoke(self, task_id: str, terminate: bool) -> Revocation:
        return same(self.real.revoke(task_id, terminate=terminate), self.model.revoke(task_id, terminate=terminate))

    def revoke_many(self, ids: Sequence[str], terminate: bool) -> list[Revocation]:
        real, model = self.real.revoke_many(ids, terminate=terminate), self.model.revoke_many(ids, terminate=terminate)
        return same(real, model)

    def rewrite(self, both: ClaimedPair, number: int) -> bool:
        """Give a held message a header."""
        message = Message.decode(both.model.body.partition(b" ")[2])
        message.headers = {"n": number}
        envelope = message.encode(1 << 20)
        return same(self.real.rewrite(both.real, envelope), self.model.rewrite(both.model, envelope))

    def forget(self) -> int:
        before_ms = time.time_ns() // 1_000_000 + 60_000
        return same(self.real.delete_finished(before_ms), self.model.delete_finished(before_ms))

    def forget_queue(self, queue: str) -> None:
        """Both forget a queue, or say the same of what is in it."""
        same(forgotten(self.real, queue), forgotten(self.model, queue))

    def pause(self, queue: str, task: str, resumes: bool) -> None:
        """Pause or resume a queue, a task, or everything; what waits elsewhere is the same in both, too."""
        stores = (self.real, self.model)
        same(*(store.resume(queue, task) if resumes else store.pause(queue, "ann", "", task) for store in stores))
        same(*([(pause.queue, pause.task) for pause in store.pauses()] for store in stores))
        same(*map(lengths, stores))
        for kind in ("delayed", "limited"):
            same(*(sorted(store.waiting_ids(kind).ids) for store in stores))

    def exchange(
        self, consumer: str, queues: Filter, outcomes: Sequence[tuple[Outcome, Outcome]], request: ClaimRequest | None
    ) -> tuple[Exchange, list[ClaimedPair]]:
        """Settle and claim; return the model's answer and what was claimed."""
        channels = self._channels.get((consumer, queues))
        if channels is None:
            made = (self.real.channel(TAG, consumer, queues), self.model.channel(TAG, consumer, queues))
            channels = self._channels[consumer, queues] = made
        real_channel: Any = channels[0]
        real_channel._candidates.clear()  # a channel that has learnt the streams looks at fewer
        real_channel._latest = []
        answers = []
        for which, channel in enumerate(channels):
            some = [outcome[which] for outcome in outcomes]
            channel.send(some, request)
            answers.append(channel.receive())
        real, model = answers
        same(real.settled, model.settled)
        same(real._replace(drained=False)[3:], model[3:])  # a hint, which only a server gives
        same([about(c) for c in real.claimed], [about(c) for c in model.claimed])
        return model, [ClaimedPair(*both) for both in zip(real.claimed, model.claimed, strict=True)]

    def keeper(self, call: Callable[[Any, int], Any]) -> Any:
        """Call both supervisors' stores; ``call`` gets the store and which of a `Both` is its own."""
        real, model = (self._loop.run(awaited(call(keeper, which))) for which, keeper in enumerate(self._keepers))
        return same(plain(real), plain(model))

    def due_schedules(self, passed: Mapping[str, int]) -> list[DueSchedule]:
        """Ask both for the due schedules and whether there are more; return the schedules."""
        found = [self._loop.run(keeper.due_schedules(TAG, passed)) for keeper in self._keepers]
        real, model = ((looked.due, looked.next_ms and looked.next_ms > 0) for looked in found)
        due: list[DueSchedule] = same(real, model)[0]
        return due

    # -- time ----------------------------------------------------------------------------------------

    def end_lease(self, token: str) -> None:
        """End a claim's lease."""
        self._client.zadd(self._keys.leases, {token: 1}, xx=True)
        leases = self.model_shard.leases
        leases.update({token: 1} if token in leases else {})

    def make_due(self, ids: Sequence[str]) -> None:
        """Make delayed messages due."""
        self._client.zadd(self._keys.delayed, dict.fromkeys(ids, 1), xx=True)
        delayed = self.model_shard.delayed
        for task_id in ids:
            if delayed.due_ms(task_id):
                delayed.put(task_id, 1)

    def end_deadlines(self, workflow_id: str) -> None:
        """End the deadlines of a workflow."""
        end_on_server(self._client, self._keys, workflow_id)
        end_in_memory(self.model_shard, workflow_id)

    def look_at_workflows(self) -> None:
        """Let the server's keeper look at all of them now, in the order of their ids, as the one in memory does."""
        waiting: Any = self._client.zrange(self._keys.unfolding, 0, -1)
        if waiting:
            self._client.zadd(self._keys.unfolding, dict.fromkeys(waiting, 1), xx=True)

    def knows_streams(self, names: Sequence[str]) -> None:
        """Let the server's keeper know these streams, so that it sends there at once what else promote would send."""
        for store in (self.real, self._keepers[0]):
            store.shards.by_tag[TAG].names.update(dict.fromkeys(names))

    @property
    def model_shard(self) -> Any:
        return self.server.shard(self.settings, TAG)

    def compare(self, ids: Sequence[str]) -> None:
        """Check that both know the same about these ids."""
        real, model = self.real.read(ids), self.model.read(ids)
        for task_id, one, other in zip(ids, real, model, strict=True):
            assert shown(one) == shown(other), f"{task_id}: the server has {one}\nthe model has {other}"
        same(
            *(
                [(queue, *waits) for queue, _, _, *waits in lengths(one) if any(waits)]
                for one in (self.real, self.model)
            )
        )

    def replay(self, place: int, new: NewMessage) -> None:
        """Replay one of the dead letters as a new message, twice; both stores have the same letters."""
        letters = self._letters()
        if letters:
            real, model = letters[place % len(letters)]
            for _ in range(2):
                same(self.real.replay_dead_letters([(real, new)]), self.model.replay_dead_letters([(model, new)]))

    def move(self, task_id: str, queue: str) -> None:
        """Let a message wait in another queue, twice, if it is known."""
        [known] = self.real.read([task_id])
        if known is None:
            return
        message = known.message()
        new = NewMessage(task_id, queue, message.priority, replace(message, queue=queue).encode(1_000_000))
        moves = []
        for store in (self.real, self.model):
            words = store.waiting_ids("queued", entries=True).ids
            entries = {one: entry for entry, _, one in (word.partition(",") for word in words)}
            moves.append(Move(new, stream_name(message.queue, message.priority), entries.get(task_id, "")))
        for _ in range(2):
            same(self.real.move(TAG, moves[:1]), self.model.move(TAG, moves[1:]))

    def discard(self, place: int, restores: bool) -> None:
        """Discard one of the dead letters in bulk, or put back what was discarded so far."""
        letters = self._letters()
        if restores:
            same(self.real.restore_dead_letters("b", TAG), self.model.restore_dead_letters("b", TAG))
        elif letters:
            real, model = letters[place % len(letters)]
            answers = self.real.discard_for_bulk("b", TAG, [(real.cursor, real.id)])
            same(answers, self.model.discard_for_bulk("b", TAG, [(model.cursor, model.id)]))
        self._letters()

    def _letters(self) -> list[tuple[DeadLetter, DeadLetter]]:
        real, model = (
            sorted(one.shard_dead_letters(TAG), key=lambda letter: letter.id) for one in (self.real, self.model)
        )
        same(
            [(one.id, one.reason, one.envelope) for one in real], [(one.id, one.reason, one.envelope) for one in model]
        )
        return list(zip(real, model, strict=True))

    def compare_whole(self) -> None:
        """Check that both have the same counts and events."""
        same(self.real.statistics()._replace(run_ms=0), self.model.statistics()._replace(run_ms=0))
        same({a.id for a in self.real.active()}, {a.id for a in self.model.active()})
        same(happened(self.real), happened(self.model))


def lengths(store: Any) -> list[tuple[Any, ...]]:
    """How many messages each queue has: ready, claimed, delayed, limited."""
    found = ((one.queue, one.ready, one.claimed, one.delayed, one.limited) for one in store.measures().queues)
    return [one for one in found if any(one[1:])]


def forgotten(store: Any, queue: str) -> bool | str:
    """Forget a queue; the error's text if messages are in it."""
    try:
        return bool(store.forget_queue(queue))
    except QueueNotEmpty as error:
        return str(error)


def happened(store: Any) -> list[tuple[str, ...]]:
    """All events of a store; those of one call have no order."""
    found: list[tuple[str, ...]] = []
    cursor = ""
    while (page := store.events(cursor)).events:
        found += (event[1:] for event in page.events)
        cursor = page.cursor
    return sorted(found)


async def awaited(call: Any) -> Any:
    return await call


def same[T](real: T, model: T) -> T:
    assert real == model, f"the server says {real}\nthe model says {model}"
    return model


def about(claimed: Claimed) -> tuple[Any, ...]:
    """The parts of a claimed message that must agree."""
    body = claimed.body.partition(b" ")[2]
    return (*claimed[:3], claimed.attempt, claimed.retries, claimed.first_started_ms > 0, body, claimed.skip_reason)


def plain(answer: Any) -> Any:
    """An answer without times and entries, which differ between stores."""
    if isinstance(answer, Reclaim):
        return answer.reclaimed, sorted((e.id, e.token, e.stream, e.attempt) for e in answer.exhausted)
    if isinstance(answer, Promotion):
        return answer.promoted, answer.next_due_us is None
    return answer


def shown(snapshot: Snapshot | None) -> Any:
    """The parts of a snapshot that must agree; of times only whether they are set."""
    if snapshot is None:
        return None
    reports = [{k: v for k, v in report.items() if k != "started"} for report in snapshot.reports]
    times = ("enqueued_ms", "first_started_ms", "started_ms", "finished_ms", "due_ms")
    return (
        snapshot.id,
        snapshot.state,
        snapshot.envelope,
        snapshot.attempts,
        [getattr(snapshot, name) > 0 for name in times],
        snapshot.worker,
        reports,
        snapshot.result,
        snapshot.progress,
        snapshot.waits_for,
    )


def outcomes_of(both: ClaimedPair, state: str, **changes: Any) -> tuple[Outcome, Outcome]:
    """One outcome for each store."""
    # Long enough that a workflow keeps it once.
    result = (
        dumps({"r": "x" * 70 if ".w" in both.model.id else 1})
        if state == "SUCCESS"
        else b""
        if state == "RETRY"
        else dumps({"e": {}})
    )
    note = "given up" if state == "DEAD" else '{"kind":"RETRY"}' if state == "RETRY" else ""
    return (
        outcome_of(both.real, state, result, **{"note": note, **changes}),
        outcome_of(both.model, state, result, **{"note": note, **changes}),
    )
