"""The store above the scripts: both drivers answer the same, for one message and for thousands."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis
from redis.exceptions import ResponseError

from streamtasks import StoreSettings
from streamtasks.exceptions import DecodeError
from streamtasks.protocol.keys import Keys
from streamtasks.protocol.message import Message
from streamtasks.protocol.shards import ALL_TAGS, new_id
from streamtasks.protocol.state import State
from streamtasks.stores.factory import open_store
from streamtasks.stores.redis.conversation import conversation
from streamtasks.stores.redis.operations.enqueue import enqueue_call
from streamtasks.stores.types import NewMessage, Revocation, Settled
from tests.core.conftest import AnyStore
from tests.support.manual_consumer import Consumer, outcome_of
from tests.support.server_dump import dump
from tests.support.users import as_worker
from tests.support.waiting import wait_until

TAG = "u0"
TAGS = ALL_TAGS[:16]

type EndLeases = Callable[[StoreSettings, set[str]], None]


def new(task_id: str, **options: Any) -> NewMessage:
    message = Message(id=task_id, task="t", args=[task_id])
    return NewMessage(task_id, "default", 0, message.encode(1 << 20))._replace(**options)


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
        store = any_store(store_url, tags=TAGS)
        messages = [new(new_id(TAGS)) for _ in range(64)]
        assert store.enqueue(messages) == [True] * 64
        assert [snapshot.id for snapshot in store.read([m.id for m in messages])] == [m.id for m in messages]
        for tag in TAGS:
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

    def test_one_that_is_given_twice_is_revoked_once(self, store_url: str, any_store: Any) -> None:
        store = any_store(store_url, send_events=True)
        store.enqueue([new("held")])
        with Consumer(open_store(store.settings)) as hand:
            hand.claim()
            assert store.revoke_many(["held", "held"]) == [Revocation.MARKED] * 2
        assert [event.kind for event in store.events().events].count("revoked") == 1

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


class TestRewrite:
    def test_readers_later_attempts_and_the_record_get_the_new_envelope(self, store_url: str) -> None:
        store = open_store(StoreSettings(url=store_url, timeout_s=60.0))
        with Consumer(store) as hand:
            store.enqueue([new("a")])
            [claimed] = hand.claim(1)
            [before] = store.read(["a"])
            other = new("a", envelope=Message(id="a", task="t", headers={"n": 1}).encode(1 << 20)).envelope
            assert as_worker(store).rewrite(claimed, other)
            [snapshot] = store.read(["a"])
            assert before is not None
            assert snapshot is not None
            assert (snapshot.envelope, snapshot.enqueued_ms) == (other, before.enqueued_ms)
            assert hand.settle(outcome_of(claimed, "RETRY")) == [Settled.DONE]
            [again] = hand.claim(1)
            assert again.body == claimed.body.partition(b" ")[0] + b" " + other
            hand.settle(outcome_of(again, "FAILURE", b"{}"))
            [finished] = store.read(["a"])
            assert finished is not None
            assert finished.envelope == other

    def test_a_lost_claim_changes_nothing(self, store_url: str) -> None:
        store = open_store(StoreSettings(url=store_url, timeout_s=60.0))
        with Consumer(store) as hand:
            store.enqueue([new("a")])
            [claimed] = hand.claim(1)
            assert not as_worker(store).rewrite(claimed._replace(token="other#1"), b"{}")
            hand.settle(outcome_of(claimed, "RETRY"))
            assert not as_worker(store).rewrite(claimed, b"{}")
            [snapshot] = store.read(["a"])
            assert snapshot is not None
            assert snapshot.envelope == new("a").envelope


class TestWait:
    def test_what_is_finished_already_is_told_at_once(self, store: AnyStore, hand: Consumer) -> None:
        store.enqueue([new("a"), new("b")])
        hand.succeed(most=1)
        assert [s.id for s in store.wait_finished(["a", "b"], 30)] == ["a"]

    def test_time_is_up(self, store: AnyStore) -> None:
        store.enqueue([new("a")])
        assert store.wait_finished(["a"], 0) == []
        assert store.wait_finished(["a"], 0.05) == []

    def test_what_ends_alone_is_not_read_after_its_push(
        self, redis_store: AnyStore, server_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        task_id = new_id(redis_store.settings.tags)
        waiter: Any = open_store(redis_store.settings)
        run, looks, found = waiter.run, [], []

        def look(operation: Any) -> Any:
            looks.append(run(operation))
            return looks[-1]

        monkeypatch.setattr(waiter, "run", look)
        redis_store.enqueue([new(task_id)])
        waiting = threading.Thread(target=lambda: found.extend(waiter.wait_finished([task_id], 60)))
        waiting.start()
        wait_until(lambda: looks, "it has subscribed and looked once")
        with Consumer(open_store(redis_store.settings)) as hand:
            assert hand.succeed() == [task_id]
        waiting.join(60)
        assert looks == [[]]
        assert found == redis_store.read([task_id])
        assert waiter.wait_finished([task_id], 60) == found, "what was sent to the last subscriber is unread"


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
