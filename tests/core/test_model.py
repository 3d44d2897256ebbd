"""Random lives of messages on a real server and in memory, side by side: every answer and every snapshot agrees."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from streamtasks import Message
from streamtasks.stores.supervisor_store import SupervisorStore
from streamtasks.stores.types import Charge, ClaimId, ClaimRequest, Filter, Limit, NewMessage
from tests.support.store_pair import TAG, ClaimedPair, StorePair, outcomes_of


def callback_id(task_id: str) -> str:
    return "cb." + hashlib.sha1(task_id.encode(), usedforsecurity=False).hexdigest()


IDS = [f"m{n}" for n in range(8)]
KNOWN = [*IDS, *map(callback_id, IDS)]
FILTERS = [Filter(), Filter("only", ("mail",)), Filter("except", ("mail",))]
HOUR_US = 3_600_000_000
LIMITS = [Limit("slow", HOUR_US), Limit("bursts", HOUR_US, 5), Limit("bursts", HOUR_US, 3), Limit("fast", 1000)]
NEVER_MS = 4_000_000_000_000

some_ids = st.lists(st.sampled_from(IDS), min_size=1, max_size=4)
which = st.integers(0, 30)
CONSUMERS: tuple[str, ...] = ("one-1", "one-2", "two-1")
consumers = st.sampled_from(CONSUMERS)
number = itertools.count()


class Lives(RuleBasedStateMachine):
    """Two children, three filters, two queues with two priorities each, and a keeper."""

    url = ""

    @initialize()
    def begin(self) -> None:
        self.pair = StorePair(
            self.url, key_prefix=f"model{next(number)}:", lost_limit=2, crash_limit=3, send_events=True
        )
        self.claimed: list[ClaimedPair] = []
        self.sequence = dict.fromkeys(CONSUMERS, 0)
        self.filter = dict.fromkeys(CONSUMERS, FILTERS[0])

    def teardown(self) -> None:
        if hasattr(self, "pair"):
            try:
                self.pair.compare_whole()
            finally:
                self.pair.__exit__()

    def pick(self, places: list[int]) -> list[ClaimedPair]:
        """Some of what was ever claimed, mostly of late; its claim may be over by now."""
        return list(
            {both.model.id: both for at in places for both in self.claimed[-1 - at % len(self.claimed) :][:1]}.values()
        )

    # -- the producer --------------------------------------------------------------------------------

    @rule(
        ids=some_ids,
        queue=st.sampled_from(["default", "mail"]),
        priority=st.sampled_from([0, 5]),
        later=st.booleans(),
        after=st.sampled_from(["", "", "unknown", *IDS]),
        limit=st.sampled_from([None, *LIMITS]),
    )
    def enqueue(self, ids: list[str], queue: str, priority: int, later: bool, after: str, limit: Limit | None) -> None:
        self.pair.enqueue([new(i, queue, priority, NEVER_MS if later else None, after, limit) for i in ids])

    @rule(task_id=st.sampled_from([*IDS, "unknown"]), terminate=st.booleans())
    def revoke(self, task_id: str, terminate: bool) -> None:
        self.pair.revoke(task_id, terminate)

    @rule(ids=st.lists(st.sampled_from([*IDS, "unknown"]), max_size=4), terminate=st.booleans())
    def revoke_many(self, ids: list[str], terminate: bool) -> None:
        self.pair.revoke_many(ids, terminate)

    @rule()
    def forget(self) -> None:
        """A clean-up: what has finished cannot be read any more, but its id stays known."""
        self.pair.forget()

    @rule(queue=st.sampled_from(["default", "mail"]))
    def forget_queue(self, queue: str) -> None:
        self.pair.forget_queue(queue)

    @rule(what=st.sampled_from([("", ""), ("default", ""), ("mail", ""), ("", "t"), ("", "u")]), resumes=st.booleans())
    def pause(self, what: tuple[str, str], resumes: bool) -> None:
        self.pair.pause(*what, resumes)

    @rule(place=which, task_id=st.sampled_from([*IDS, "r1", "r2"]), limit=st.sampled_from([None, *LIMITS]))
    def replay(self, place: int, task_id: str, limit: Limit | None) -> None:
        self.pair.replay(place, new(task_id, "mail", 0, None, "", limit))

    @rule(task_id=st.sampled_from(IDS), queue=st.sampled_from(["default", "mail"]))
    def move(self, task_id: str, queue: str) -> None:
        self.pair.move(task_id, queue)

    @rule(place=which, restores=st.booleans())
    def discard(self, place: int, restores: bool) -> None:
        self.pair.discard(place, restores)

    # -- children ------------------------------------------------------------------------------------

    @rule(consumer=consumers, most=st.integers(0, 4), alone=st.booleans(), queues=st.sampled_from(FILTERS))
    def claim(self, consumer: str, most: int, alone: bool, queues: Filter) -> None:
        self.sequence[consumer] += 1
        self.filter[consumer] = queues
        request = ClaimRequest(self.sequence[consumer], most, alone)
        self.claimed += self.pair.exchange(consumer, queues, [], request)[1]

    @rule(consumer=consumers, back=st.integers(0, 1))
    def claim_again(self, consumer: str, back: int) -> None:
        """The reply was lost: the same messages come, or none any more."""
        sequence = self.sequence[consumer] - back
        if sequence > 0:
            request = ClaimRequest(sequence, 4, False)
            self.claimed += self.pair.exchange(consumer, self.filter[consumer], [], request)[1]

    @precondition(lambda self: self.claimed)
    @rule(
        places=st.lists(which, min_size=1, max_size=3),
        state=st.sampled_from(["SUCCESS", "SUCCESS", "FAILURE", "IGNORED", "REVOKED", "DEAD", "RETRY", "CALLED"]),
        delay_ms=st.sampled_from([0, 3_600_000]),
        follow=st.lists(st.sampled_from(IDS), max_size=2),
        after=st.sampled_from(["", *IDS]),
    )
    def settle(self, places: list[int], state: str, delay_ms: int, follow: list[str], after: str) -> None:
        some = self.pick(places)[: 1 if state == "RETRY" else 3]
        changes: dict[str, Any] = {"delay_ms": delay_ms} if state == "RETRY" else {}
        changes["follow"] = tuple(new(task_id, "mail", 0, None, after) for task_id in follow)
        if state == "CALLED":  # only callback messages end so
            some = [both for both in some if both.model.id.startswith("cb.")]
        self.pair.exchange("one-1", Filter(), [outcomes_of(both, state, **changes) for both in some], None)

    # -- the keeper ----------------------------------------------------------------------------------

    @precondition(lambda self: self.claimed)
    @rule(places=st.lists(which, min_size=1, max_size=3), alone=st.booleans())
    def hand_back(self, places: list[int], alone: bool) -> None:
        some = self.pick(places)
        ids = {some[0].model.id} if alone else set[str]()
        self.pair.keeper(lambda store, at: store.hand_back(TAG, [both[at] for both in some], alone=ids))

    @rule(consumer=consumers, gone=st.booleans(), ahead=st.integers(0, 1))
    def void(self, consumer: str, gone: bool, ahead: int) -> None:
        """A child died, or gives up a claim that is on its way."""
        void = ClaimId(consumer, self.sequence[consumer] + ahead)
        self.pair.keeper(lambda store, _: store.hand_back(TAG, [], invalidate=void, gone=gone))

    @precondition(lambda self: self.claimed)
    @rule(places=st.lists(which, min_size=1, max_size=2))
    def charge(self, places: list[int]) -> None:
        some = self.pick(places)
        report = '{"kind":"CRASH"}'
        answers = self.pair.keeper(lambda store, at: store.charge(TAG, [(both[at], 5, report) for both in some]))
        dead = [both for both, answer in zip(some, answers, strict=True) if answer is Charge.LIMIT]
        self.settle_for(dead)

    @precondition(lambda self: self.claimed)
    @rule(place=which, ago_ms=st.sampled_from([0, 30]))
    def mark_running(self, place: int, ago_ms: int) -> None:
        [both] = self.pick([place])
        self.pair.keeper(lambda store, at: store.revocations(TAG, [both[at]]))
        self.pair.keeper(lambda store, at: store.mark_running(TAG, [(both[at], ago_ms)]))
        self.pair.keeper(lambda store, at: store.progress(TAG, [(both[at], b'{"s":"PROGRESS","m":1}')]))

    @precondition(lambda self: self.claimed)
    @rule(place=which, number=st.integers(0, 1))
    def rewrite(self, place: int, number: int) -> None:
        [both] = self.pick([place])
        self.pair.rewrite(both, number)

    @precondition(lambda self: self.claimed)
    @rule(place=which)
    def renew(self, place: int) -> None:
        [both] = self.pick([place])
        self.pair.keeper(lambda store, at: store.renew(TAG, [both[at].token]))

    @precondition(lambda self: self.claimed)
    @rule(places=st.lists(which, min_size=1, max_size=2))
    def reclaim(self, places: list[int]) -> None:
        """Some claims' worker has vanished."""
        some = self.pick(places)
        for both in some:
            self.pair.end_lease(both.model.token)
        self.pair.keeper(lambda store, _: beat(store))
        _, exhausted = self.pair.keeper(lambda store, _: store.reclaim(TAG))
        gone = {(task_id, token) for task_id, token, *_ in exhausted}
        self.settle_for([both for both in self.claimed if (both.model.id, both.model.token) in gone][-1:])

    @rule(ids=some_ids)
    def promote(self, ids: list[str]) -> None:
        self.pair.make_due(ids)
        self.pair.keeper(lambda store, _: store.promote(TAG))

    @rule()
    def admit(self) -> None:
        """Limiters are asked, and what they grant is admitted, until there is nothing more to ask for."""
        self.pair.keeper(lambda store, _: admit(store))

    def settle_for(self, dead: list[ClaimedPair]) -> None:
        outcomes = [outcomes_of(both, "DEAD", body=b"") for both in dead]
        self.pair.keeper(lambda store, at: store.settle(TAG, [outcome[at] for outcome in outcomes], "all"))

    @invariant()
    def agree(self) -> None:
        if hasattr(self, "pair"):
            self.pair.compare(KNOWN)


def new(
    task_id: str, queue: str, priority: int, due_ms: int | None, after: str = "", limit: Limit | None = None
) -> NewMessage:
    message = Message(id=task_id, task="u" if task_id in IDS[::3] else "t", queue=queue, priority=priority)
    return NewMessage(task_id, queue, priority, message.encode(1000), due_ms, after=after, limit=limit)


async def admit(store: SupervisorStore) -> int:
    """Do what a keeper's limiter does, until the next start is far away; return how many messages were admitted."""
    admitted = 0
    while True:
        admission = await store.admit(TAG)
        admitted += admission.admitted
        if admission.next_us is None or admission.next_us > 10_000:
            return admitted
        await asyncio.sleep(admission.next_us / 1_000_000)


async def beat(store: Any) -> None:
    await store.beat(TAG, "worker", {})


def test_the_model_and_a_server_agree(embedded_url: str) -> None:
    class Here(Lives):
        url = embedded_url

    bounded = settings(
        max_examples=80,
        stateful_step_count=40,
        deadline=None,
        derandomize=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    run_state_machine_as_test(Here, settings=bounded)
