"""The store above the scripts: both drivers answer the same, for one message and for thousands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from redis.exceptions import ResponseError

from streamtasks import StoreSettings
from streamtasks.exceptions import DecodeError
from streamtasks.protocol.json import dumps
from streamtasks.protocol.keys import Keys
from streamtasks.protocol.message import Message
from streamtasks.protocol.shards import ALL_TAGS, new_id
from streamtasks.protocol.state import State
from streamtasks.stores.factory import open_store, open_supervisor_store
from streamtasks.stores.redis.conversation import conversation
from streamtasks.stores.redis.operations.enqueue import enqueue_call
from streamtasks.stores.types import Charge, Claimed, ClaimId, NewMessage, Revocation, Settled
from tests.core.conftest import AnyStore
from tests.support.manual_consumer import Consumer, outcome_of
from tests.support.server_dump import dump

TAG = "u0"

type EndLeases = Callable[[StoreSettings, set[str]], None]


def keeper_of(url: str, **settings: Any) -> Any:
    return open_supervisor_store(StoreSettings(url=url, **settings))


def new(task_id: str, **options: Any) -> NewMessage:
    message = Message(id=task_id, task="t", args=[task_id])
    return NewMessage(task_id, "default", 0, message.encode(1 << 20))._replace(**options)


@pytest.fixture
def hand(store: AnyStore) -> Iterator[Consumer]:
    with Consumer(open_store(store.settings)) as opened:
        yield opened


class TestEnqueue:
    def test_new_messages_are_accepted_and_known_ones_are_not(self, store: AnyStore) -> None:
        assert store.enqueue([new("a")]) == [True]
        assert store.enqueue([new("a"), new("b"), new("b")]) == [False, True, False]

    def test_repeating_a_call_changes_nothing_on_the_server(self, redis_store: AnyStore, server_url: str) -> None:
        store = redis_store
        messages = [new(f"{n}", due_ms=None if n % 2 else 2_000_000_000_000 + n) for n in range(20)]
        with redis.Redis.from_url(server_url) as client:
            store.enqueue(messages)
            before = dump(client)
            assert store.enqueue(messages) == [False] * 20
            assert dump(client) == before

    def test_nothing_to_enqueue(self, store: AnyStore) -> None:
        assert store.enqueue([]) == []

    def test_thousands_go_in_order(self, store: AnyStore, hand: Consumer) -> None:
        ids = [f"{n:04}" for n in range(2345)]
        assert store.enqueue([new(i) for i in ids]) == [True] * len(ids)
        got: list[str] = []
        while some := hand.succeed():
            got += some
        assert got == ids

    def test_large_messages_are_cut_into_several_calls(self, store: AnyStore, hand: Consumer) -> None:
        body = b'{"x":"' + b"x" * 400_000 + b'"}'
        assert store.enqueue([new(f"{n}", envelope=body) for n in range(12)]) == [True] * 12
        counts = [len(hand.claim()) for _ in range(12)]
        assert sum(counts) == 12
        assert max(counts) < 3, "a reply is bounded as well"

    def test_many_shards_on_one_server(self, store_url: str, any_store: Any) -> None:
        store = any_store(store_url, tags=ALL_TAGS)
        messages = [new(new_id(ALL_TAGS)) for _ in range(64)]
        assert store.enqueue(messages) == [True] * 64
        assert [snapshot.id for snapshot in store.read([m.id for m in messages])] == [m.id for m in messages]
        for tag in ALL_TAGS:
            with Consumer(open_store(store.settings), tag=tag) as hand:
                assert [c.id for c in hand.claim()] == [m.id for m in messages if m.id.endswith(f"-{tag}")]

    def test_two_prefixes_do_not_see_each_other(self, store_url: str, any_store: Any) -> None:
        one, other = any_store(store_url, key_prefix="one:"), any_store(store_url, key_prefix="two:")
        one.enqueue([new("a")])
        assert other.read(["a"]) == [None]
        assert other.enqueue([new("a")]) == [True]


class TestRevokeMany:
    def test_each_has_its_own_answer(self, store: AnyStore, hand: Consumer) -> None:
        store.enqueue([new("held")])
        hand.claim()
        store.enqueue([new(f"{n}") for n in range(250)])
        ids = [f"{n}" for n in range(250)]
        assert store.revoke_many([*ids, "held", "unknown", "0"]) == [
            *[Revocation.GONE] * 250,
            Revocation.MARKED,
            Revocation.UNKNOWN,
            Revocation.GONE,
        ]
        assert all(one is not None and one.state == State.REVOKED for one in store.read(ids))

    def test_nothing_to_revoke(self, store: AnyStore) -> None:
        assert store.revoke_many([]) == []

    def test_those_that_come_later_are_revoked_at_once(self, store: AnyStore) -> None:
        ids = [f"{n}" for n in range(150)]
        assert store.revoke_many(ids) == [Revocation.UNKNOWN] * 150
        assert store.enqueue([new(one) for one in ids]) == [True] * 150
        assert all(one is not None and one.state == State.REVOKED for one in store.read(ids))


class TestRead:
    def test_every_state_of_a_life(self, store: AnyStore, hand: Consumer) -> None:
        assert store.read(["a"]) == [None]
        store.enqueue([new("a")])
        [queued] = store.read(["a"])
        assert (queued.state, queued.attempts, queued.envelope) == (State.QUEUED, 0, new("a").envelope)
        [first] = hand.claim(1)
        [running] = store.read(["a"])
        assert (running.state, running.attempts, running.worker) == (State.STARTED, 1, "hand")
        assert running.enqueued_ms == queued.enqueued_ms <= running.started_ms == running.first_started_ms
        note = json.dumps({"kind": "RETRY", "attempt": 1})
        assert hand.settle(outcome_of(first, "RETRY", note=note, delay_ms=1_000_000)) == [Settled.DONE]
        [waiting] = store.read(["a"])
        assert (waiting.state, waiting.attempts) == (State.RETRY, 1)
        assert waiting.due_ms > waiting.first_started_ms
        assert waiting.reports == [{"kind": "RETRY", "attempt": 1}]

    def test_one_that_is_left_to_another_worker_is_not_counted(self, store: AnyStore, hand: Consumer) -> None:
        store.enqueue([new("a")])
        [first] = hand.claim(1)
        left = outcome_of(first, "RETRY", note="", delay_ms=0)
        assert [hand.settle(left), hand.settle(left)] == [[Settled.DONE], [Settled.ALREADY]]
        [waiting] = store.read(["a"])
        assert (waiting.state, waiting.attempts, waiting.reports) == (State.QUEUED, 0, [])
        [again] = hand.claim(1)
        assert (again.attempt, again.retries) == (1, 0)

    def test_of_many_attempts_the_first_and_the_last_are_kept_and_the_others_counted(
        self, store: AnyStore, hand: Consumer
    ) -> None:
        store.enqueue([new("a")])
        reports = [{"kind": kind, "attempt": 1 + i} for i, kind in enumerate(["RETRY", "UNKNOWN", "RETRY"] * 9 + ["A"])]
        for i, report in enumerate(reports):
            [claimed] = hand.claim(1)
            note = json.dumps(report, separators=(",", ":"))
            assert hand.settle(outcome_of(claimed, "RETRY", note=note)) == [Settled.DONE]
            if i == 24:
                assert store.read(["a"])[0].reports == reports[:25]
        of = {"RETRY": 2, "UNKNOWN": 1}
        omitted = {"kind": "OMITTED", "of": of}
        assert store.read(["a"])[0].reports == [*reports[:5], omitted, *reports[8:]]
        [claimed] = hand.claim(1)
        store.revoke("a")
        note = '{"kind":"RETRY"}'
        assert hand.settle(outcome_of(claimed, "RETRY", note=note)) == [Settled.DONE]
        [revoked] = store.read(["a"])
        of["RETRY"] += 1
        assert (revoked.state, revoked.attempts) == (State.REVOKED, 29)
        assert revoked.reports == [*reports[:5], omitted, *reports[9:], {"kind": "RETRY"}]

    def test_a_delayed_one_says_when_it_is_due(self, store: AnyStore) -> None:
        store.enqueue([new("a", due_ms=2_000_000_000_123)])
        [snapshot] = store.read(["a"])
        assert (snapshot.state, snapshot.due_ms) == (State.DELAYED, 2_000_000_000_123)

    def test_a_claimed_unstarted_one_counts_as_queued(self, store: AnyStore, hand: Consumer) -> None:
        store.enqueue([new("a"), new("b")])
        hand.claim(2)
        assert [(s.state, s.attempts) for s in store.read(["a", "b"])] == [(State.QUEUED, 0)] * 2

    @pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "IGNORED", "EXPIRED", "REVOKED", "DEAD"])
    def test_a_finished_one_keeps_message_result_and_times(self, store: AnyStore, hand: Consumer, state: str) -> None:
        store.enqueue([new("a")])
        [claimed] = hand.claim(1)
        assert hand.settle(outcome_of(claimed, state, b'{"r":7}')) == [Settled.DONE]
        [snapshot] = store.read(["a"])
        assert (snapshot.state, snapshot.is_finished, snapshot.worker) == (state, True, "hand")
        assert (snapshot.envelope, snapshot.result) == (new("a").envelope, b'{"r":7}')
        assert 0 < snapshot.enqueued_ms <= snapshot.started_ms <= snapshot.finished_ms

    def test_hundreds_keep_their_order(self, store: AnyStore) -> None:
        ids = [f"{n}" for n in range(345)]
        store.enqueue([new(i) for i in ids if int(i) % 3])
        found = store.read(ids)
        assert [None if s is None else s.id for s in found] == [i if int(i) % 3 else None for i in ids]

    def test_nothing_to_read(self, store: AnyStore) -> None:
        assert store.read([]) == []


class TestWait:
    def test_what_is_finished_already_is_told_at_once(self, store: AnyStore, hand: Consumer) -> None:
        store.enqueue([new("a"), new("b")])
        hand.succeed(most=1)
        assert [s.id for s in store.wait_finished(["a", "b"], 30)] == ["a"]

    def test_time_is_up(self, store: AnyStore) -> None:
        store.enqueue([new("a")])
        assert store.wait_finished(["a"], 0) == []
        assert store.wait_finished(["a"], 0.05) == []


@pytest.fixture
async def keeper(store_url: str) -> Any:
    """A supervisor's store, empty."""
    return keeper_of(store_url, timeout_s=60.0, enqueue_timeout_s=60.0)


@pytest.fixture
def child(store_url: str) -> Iterator[Consumer]:
    """A child of that supervisor, with a new store."""
    with Consumer(open_store(StoreSettings(url=store_url))) as opened:
        yield opened


class TestSupervisor:
    async def test_an_outcome_without_its_body_is_recorded_whole(self, keeper: Any, child: Consumer) -> None:
        await keeper.enqueue([new("a"), new("b")])
        outcomes = [outcome_of(c, "SUCCESS", b'{"r":1}', body=b"") for c in child.claim()]
        assert await keeper.settle(TAG, outcomes) == [Settled.DONE] * 2
        assert await keeper.settle(TAG, outcomes) == [Settled.ALREADY] * 2
        found = await keeper.read(["a", "b"])
        assert [s and s.envelope for s in found] == [new("a").envelope, new("b").envelope]
        assert [s and s.result for s in found] == [b'{"r":1}'] * 2

    async def test_answers_come_in_the_order_of_the_outcomes(self, keeper: Any, child: Consumer) -> None:
        await keeper.enqueue([new(f"{n}") for n in range(6)])
        claimed = child.claim()
        await keeper.hand_back(TAG, [claimed[1], claimed[4]])
        states = ["SUCCESS", "SUCCESS", "FAILURE", "SUCCESS", "FAILURE", "DEAD"]
        outcomes = [outcome_of(c, state, b"{}") for c, state in zip(claimed, states, strict=True)]
        done, stale = Settled.DONE, Settled.STALE
        assert await keeper.settle(TAG, outcomes) == [done, stale, done, done, stale, done]

    async def test_a_member_given_twice_is_done_once(self, keeper: Any, child: Consumer) -> None:
        await keeper.enqueue([new("a")])
        [claimed] = child.claim()
        outcome = outcome_of(claimed, "SUCCESS", b"{}")
        answers = await keeper.settle(TAG, [outcome, outcome])
        assert Settled.DONE in answers

    async def test_hundreds_of_outcomes(self, keeper: Any, child: Consumer) -> None:
        await keeper.enqueue([new(f"{n}") for n in range(250)])
        claimed = [c for _ in range(3) for c in child.claim()]
        assert await keeper.settle(TAG, [outcome_of(c, "SUCCESS", b"{}") for c in claimed]) == [Settled.DONE] * 250

    async def test_handing_back_says_what_became_of_each(self, keeper: Any, child: Consumer) -> None:
        await keeper.enqueue([new("a"), new("b")])
        a, b = child.claim()
        child.settle(outcome_of(b, "SUCCESS", b"{}"))
        assert await keeper.hand_back(TAG, [a, b]) == [True, False]
        assert await keeper.hand_back(TAG, [a, b]) == [False, False]

    async def test_handing_back_with_an_unread_claim_from_another_stream(self, keeper: Any, child: Consumer) -> None:
        await keeper.enqueue([new("a")])
        read = child.claim()
        await keeper.enqueue([new("b", queue="another")])
        child.claim()
        # Of the second claim the supervisor knows only that its reply was never read.
        assert await keeper.hand_back(TAG, read, invalidate=ClaimId("hand", 2), gone=True) == [True]
        with Consumer(open_store(keeper.settings), "next") as later:
            assert sorted(c.id for c in later.claim()) == ["a", "b"]

    async def test_crashes(self, keeper: Any, child: Consumer) -> None:
        await keeper.enqueue([new("a")])
        report = json.dumps({"kind": "CRASH"})
        [first] = child.claim(1)
        assert await keeper.charge(TAG, [(first, 5, report)]) == [Charge.AT_ONCE]
        [second] = child.claim(1)
        assert await keeper.charge(TAG, [(second, 5, report)]) == [Charge.AFTER_DELAY]
        [snapshot] = await keeper.read(["a"])
        assert snapshot is not None
        assert (snapshot.state, snapshot.attempts) == (State.RETRY, 2)
        assert snapshot.reports == [{"kind": "CRASH"}] * 2
        assert await keeper.charge(TAG, [(second, 5, report)]) == [Charge.STALE]

    async def test_promotion_of_many_in_many_streams(self, keeper: Any, child: Consumer) -> None:
        messages = [new(f"{n}", queue=f"q{n % 70}", delay_ms=30) for n in range(250)]
        await keeper.enqueue(messages)
        await keeper.enqueue([new("later", delay_ms=60_000)])
        promoted = 0
        async with asyncio.timeout(10):
            while promoted < 250:
                answer = await keeper.promote(TAG)
                promoted += answer.promoted
                assert answer.next_due_ms is not None
                await asyncio.sleep(min(answer.next_due_ms, 10) / 1000)
        assert promoted == 250
        assert 50_000 < (await keeper.promote(TAG)).next_due_ms <= 60_000
        got: set[str] = set()
        while some := child.succeed():
            got.update(some)
        assert got == {m.id for m in messages}

    async def test_promotion_with_nothing_delayed(self, keeper: Any) -> None:
        answer = await keeper.promote(TAG)
        assert (answer.promoted, answer.next_due_ms) == (0, None)

    async def test_reclaim_of_many_in_many_streams(self, keeper: Any, child: Consumer, end_leases: EndLeases) -> None:
        await keeper.enqueue([new(f"{n}", queue=f"q{n % 70}") for n in range(250)])
        claimed: list[Claimed] = []
        while some := child.claim():
            claimed += some
        assert len(claimed) == 250
        end_leases(keeper.settings, {c.token for c in claimed})
        await keeper.beat(TAG, "w", {})
        answer = await keeper.reclaim(TAG)
        assert (answer.reclaimed, answer.exhausted) == (250, [])
        assert (await keeper.reclaim(TAG)).reclaimed == 0

    async def test_an_exhausted_message_can_be_settled_as_told(
        self, store_url: str, child: Consumer, end_leases: EndLeases
    ) -> None:
        keeper = keeper_of(store_url, lost_limit=1)
        await keeper.enqueue([new("a")])
        [claimed] = child.claim(1)
        end_leases(keeper.settings, {claimed.token})
        await keeper.beat(TAG, "w", {})
        [gone] = (await keeper.reclaim(TAG)).exhausted
        assert (gone.id, gone.token, gone.entry) == (claimed.id, claimed.token, claimed.entry)
        outcome = outcome_of(claimed, "DEAD", dumps({"e": {}}), note="lost", body=b"")
        assert await keeper.settle(TAG, [outcome]) == [Settled.DONE]
        [snapshot] = await keeper.read(["a"])
        assert snapshot is not None
        assert snapshot.state is State.DEAD

    async def test_starts_leases_and_progress(self, keeper: Any, child: Consumer) -> None:
        await keeper.enqueue([new("a"), new("b")])
        a, b = child.claim()
        assert await keeper.mark_running(TAG, [(a, 12)]) == [True]
        assert await keeper.progress(TAG, [(a, b'{"n":1}'), (b._replace(token="x#1"), b"1")]) == [True, False]
        assert await keeper.renew(TAG, [a.token, "x#1"]) == [True, False]
        [first, second] = await keeper.read(["a", "b"])
        assert first is not None
        assert second is not None
        assert (first.state, first.progress, second.state) == (State.PROGRESS, b'{"n":1}', State.QUEUED)

    async def test_control_messages_are_heard(self, keeper: Any) -> None:
        heard = keeper.listen()
        try:
            async with asyncio.timeout(5):
                assert await anext(heard) == ("", "subscribed")
                await keeper.enqueue([new("a", delay_ms=60_000)])
                tag, words = await anext(heard)
        finally:
            await heard.aclose()
        assert tag == TAG
        assert words.startswith("due ")


class TestScripts:
    def test_a_server_that_forgot_the_scripts_gets_them_again(self, redis_store: AnyStore, server_url: str) -> None:
        store = redis_store
        with redis.Redis.from_url(server_url) as client, Consumer(open_store(store.settings)) as hand:
            for task_id in ("a", "b"):
                client.script_flush()
                assert store.enqueue([new(task_id)]) == [True]
                client.script_flush()
                assert hand.succeed() == [task_id]
                client.script_flush()
                assert store.read([task_id])[0].state is State.SUCCESS

    def test_a_script_that_comes_between_two_chunks_does_not_change_their_order(
        self, redis_store: AnyStore, server_url: str
    ) -> None:
        """Another client may load a script after the server has refused the first chunk, before it gets the second."""
        store = redis_store
        keys = Keys(store.settings.key_prefix, TAG)
        calls = [enqueue_call(keys, [new(task_id)], store.settings) for task_id in ("a", "b", "c")]
        with redis.Redis.from_url(server_url) as client:
            client.script_flush()
            talk = conversation(calls)
            commands = next(talk)
            replies: list[Any] = []
            for place, words in enumerate(commands):
                if place == len(commands) - 2:
                    client.script_load(calls[0].script.source)
                try:
                    replies.append(client.execute_command(*words))
                except ResponseError as error:
                    replies.append(error)
            with pytest.raises(StopIteration) as stop:
                talk.send(replies)
            assert [reply[1:] for reply in stop.value.value] == [[1]] * 3
            entries: Any = client.xrange(keys.stream("0:default"))
            assert [fields[b"id"] for _, fields in entries] == [b"a", b"b", b"c"]


def test_a_record_that_cannot_be_read_does_not_hide_its_neighbours(
    redis_store: AnyStore, server_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = redis_store
    store.enqueue([new("a"), new("c")])
    with redis.Redis.from_url(server_url) as client:
        client.set(Keys(store.settings.key_prefix, TAG).record("b"), b"7 of a later release\n")
    found = store.read(["a", "b", "c"])
    assert [one and one.id for one in found] == ["a", None, "c"]
    assert "task b" in caplog.text
    with pytest.raises(DecodeError, match="task b"):
        store.read(["b"])


async def test_results_that_expire_early_go_and_their_ids_stay_known(store_url: str) -> None:
    store = open_store(StoreSettings(url=store_url, result_expires_s=0.05, failure_expires_s=3600))
    keeper = open_supervisor_store(StoreSettings(url=store_url, result_expires_s=0.05, failure_expires_s=3600))
    store.enqueue([new(task_id) for task_id in "abc"])
    with Consumer(store) as hand:
        first, second, third = hand.claim(3)
        settled = outcome_of(first, "SUCCESS", b'{"r":1}'), outcome_of(second, "FAILURE"), outcome_of(third, "IGNORED")
        hand.settle(*settled)
    await asyncio.sleep(0.1)
    after = await keeper.expire_results(TAG, True)
    assert [one and one.id for one in store.read(["a", "b", "c"])] == [None, "b", None]
    assert store.enqueue([new("a"), new("c")]) == [False, False]
    store.enqueue([new("d")])
    with Consumer(store, "other") as hand:
        hand.settle(outcome_of(hand.claim(1)[0], "SUCCESS", b'{"r":1}'))
    assert store.read(["d"])[0] is not None
    await asyncio.sleep(0.1)
    await keeper.expire_results(TAG, True, after)
    assert [one and one.id for one in store.read(["b", "d"])] == ["b", None]


async def test_many_results_that_expire_early_go_page_by_page(store_url: str) -> None:
    settings = StoreSettings(url=store_url, failure_expires_s=0.01)
    store = open_store(settings)
    ids = [f"m{n}" for n in range(130)]
    store.enqueue([new(task_id) for task_id in ids])
    with Consumer(store) as hand:
        for claimed in (*hand.claim(), *hand.claim()):
            hand.settle(outcome_of(claimed, "FAILURE"))
    await asyncio.sleep(0.05)
    keeper = open_supervisor_store(settings)
    after = await keeper.expire_results(TAG, False)
    assert store.read(ids) == [None] * 130
    assert await keeper.expire_results(TAG, False, after) == after
