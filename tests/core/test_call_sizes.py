"""The strictest service takes 3,999 arguments and keys a command, scripts with keys, and keys that are declared.

The largest calls of every script go through a proxy that refuses the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import redis

import streamtasks_lua
from streamtasks import StoreSettings
from streamtasks.exceptions import ConfigurationError
from streamtasks.protocol.graph import Graph, GraphFanIn
from streamtasks.protocol.keys import Keys
from streamtasks.protocol.series import ALL, COUNTS, of_task, text_of
from streamtasks.protocol.shards import node_id
from streamtasks.protocol.state import DeadLetter
from streamtasks.settings import MIN_DEDUP_S
from streamtasks.stores.bulk_types import BulkCounts, BulkState, Move
from streamtasks.stores.factory import open_store, open_supervisor_store
from streamtasks.stores.inspection_types import NewLog
from streamtasks.stores.redis.operations.claim import claim_call, pass_wake_call, wake_lists
from streamtasks.stores.redis.operations.settle import settle_call
from streamtasks.stores.redis.scripts import Call
from streamtasks.stores.series_types import NewSeries
from streamtasks.stores.steering_types import AuditEntry
from streamtasks.stores.types import Claimed, ClaimId, ClaimRequest, Filter, Limit, NewMessage, Outcome
from streamtasks.stores.workflow_types import FanIn, KnownResult, NewWorkflow, Node
from streamtasks_workers.process.options import MOST_QUEUES, WorkerOptions
from tests.support.resp_proxy import StrictProxy
from tests.support.schedule_samples import FAR_MS, PAST_MS, declared, firing, schedule

MOST = StrictProxy.MOST
DAY_S = 86_400.0
KEYS = Keys("p:", "u0")


def words(call: Call) -> int:
    """The number of arguments and keys of a call's command."""
    return 2 + len(call.keys) + len(call.args)


def messages(count: int, start: int = 0, **more: Any) -> list[NewMessage]:
    """Messages that each have a stream of their own, so that a call names as many as there may be."""
    return [
        NewMessage(f"{place:032x}-u0", f"q{place % 300}", place % 201 - 100, b'{"task":"t"}', **more)
        for place in range(start, start + count)
    ]


class Site:
    """A store behind the proxy, called as producers, children and keepers do."""

    def __init__(self, url: str) -> None:
        self.settings = StoreSettings(
            url=url, timeout_s=60.0, enqueue_timeout_s=60.0, send_events=True, result_expires_s=1.0, lease_s=30.0
        )
        self.store: Any = open_store(self.settings)
        self._keeper: Any = open_supervisor_store(self.settings)
        self._loop = asyncio.Runner()
        self.channel = self.store.channel("u0", "w-1", Filter())
        self._sequence = 0

    def close(self) -> None:
        self.channel.close()
        self._loop.close()

    def keep(self, name: str, *args: Any, **more: Any) -> Any:
        """Call what keepers call."""
        return self._loop.run(getattr(self._keeper, name)(*args, **more))

    def exchange(self, outcomes: Sequence[Outcome] = (), count: int = 0) -> Any:
        self._sequence += 1
        claim = ClaimRequest(self._sequence, count, alone=not outcomes) if count else None
        self.channel.send(outcomes, claim)
        return self.channel.receive()

    def claim(self, count: int) -> list[Claimed]:
        """Claim messages, 100 at once, until there are so many."""
        found: list[Claimed] = []
        for _ in range(10 * count):
            found += self.exchange((), 100).claimed
            if len(found) >= count:
                return found
        raise AssertionError(f"{len(found)} of {count} messages were claimed")


@pytest.fixture
def strict(server_url: str) -> Iterator[StrictProxy]:
    with StrictProxy(int(server_url.rpartition(":")[2].split("/")[0])) as proxy:
        yield proxy


@pytest.fixture
def site(strict: StrictProxy) -> Iterator[Site]:
    made = Site(strict.url)
    yield made
    made.close()


def of(held: Claimed, state: str, **more: Any) -> Outcome:
    return Outcome.of(held, state, PAST_MS, keep_ms=round(MIN_DEDUP_S * 1000), **more)


def enqueue_and_settle(site: Site) -> None:
    """Messages of 300 queues: enqueue, claim, run, settle, hand back, charge, revoke, clean up."""
    store = site.store
    assert all(store.enqueue(messages(1000)))
    assert not any(store.enqueue(messages(1000)))
    limit = Limit("a limit", 1, 1000)
    store.enqueue(messages(300, 1000, limit=limit, expires_in_ms=10**9))
    store.enqueue(messages(300, 2000, delay_ms=1))
    store.enqueue([one._replace(after=f"{5:032x}-u0") for one in messages(300, 3000)])
    site.keep("admit", "u0")
    site.keep("promote", "u0")
    site.keep("ready", Filter("except", tuple(f"q{place}" for place in range(MOST_QUEUES))), ("u0",))
    site.keep("beat", "u0", "w", {"host": "h"})
    assert len(store.read([one.id for one in messages(1000)])) == 1000
    held = site.claim(1000)
    assert all(site.keep("mark_running", "u0", [(one, 1) for one in held]))
    assert all(site.keep("progress", "u0", [(one, b"1") for one in held]))
    site.keep("renew", "u0", sorted({one.token for one in held}))
    site.keep("revocations", "u0", held)
    store.active(100)
    assert store.standing(held[0].id) is not None
    store.rewrite(held[0], messages(1)[0].envelope)
    site.exchange(
        [of(one, "SUCCEEDED", follow=tuple(messages(100, 9000 + 100 * place))) for place, one in enumerate(held[:3])]
    )
    site.exchange([of(one, "SUCCEEDED", result=b"1") for one in held[3:300]])
    site.exchange([of(one, "FAILED", result=b"{}") for one in held[300:400]])
    site.exchange([Outcome.of(one, "RETRY", PAST_MS, note="{}", delay_ms=10**9) for one in held[400:500]])
    site.exchange([of(one, "DEAD", note="lost") for one in held[500:600]])
    site.keep("charge", "u0", [(one, PAST_MS, "{}") for one in held[600:700]])
    site.keep("holdings", "u0", ["w-1", *(f"{number:x}" for number in range(999))])
    site.keep("hand_back", "u0", held[700:900], alone={held[700].id})
    site.keep("hand_back", "u0", held[900:], invalidate=ClaimId("w-2", 10**6), gone=True)
    store.revoke_many([one.id for one in messages(1300)])
    store.revoke_many([f"{place:032x}-u0" for place in range(50_000, 50_200)], terminate=True)
    site.keep("settle", "u0", [of(one, "SUCCEEDED") for one in held[:100]])
    for _ in range(2):
        site.keep("reclaim", "u0")
        site.keep("sweep", "u0", 0)
    store.events()
    store.dead_letters(1000)
    store.statistics()
    store.measures()
    store.workers()
    site.keep("expire_results", "u0", True)
    store.delete_finished(FAR_MS)
    store.delete_result(held[0].id)
    store.forget_queue("no-such-queue")


def workflows(site: Site) -> None:
    """A workflow of 1,500 nodes and 4,200 fan-ins, with many known results."""
    workflow_id = f"{7:032x}-u0"
    limit = Limit("a limit", 1, 1000)
    nodes = [
        Node(NewMessage(node_id(workflow_id, at), f"q{at}", 0, b'{"task":"t"}', limit=limit), "", f"g{at % 4200}.0")
        for at in range(1500)
    ]  # fmt: skip
    fan_ins = [FanIn(members=2, need=1, collects=True, deadline_ms=10**9) for _ in range(4200)]
    plan = Graph(workflow_id, 1500, 1500, {}, [GraphFanIn(range(2), range(2))] * 4200).encode()
    known = [KnownResult("r0", b"1") for _ in range(500)]
    assert site.store.start_workflow(NewWorkflow(workflow_id, nodes, 1500, fan_ins, plan, known))
    counts = site.store.workflow(workflow_id, range(4200))
    assert len(counts.fan_ins) == 4200
    assert {one.members for one in counts.fan_ins} == {2}
    site.keep("unfold", "u0")
    site.keep("admit", "u0")
    site.store.gather(workflow_id, "r0")
    site.store.read([node.message.id for node in nodes])
    held = site.claim(200)
    site.exchange([of(one, "SUCCEEDED", result=b"1") for one in held])
    site.store.revoke_workflow(workflow_id)
    site.keep("unfold", "u0")


def schedules(site: Site) -> None:
    """A thousand schedules, and many of another release."""
    store = site.store
    names = [f"schedule {place} of a thousand" for place in range(1000)]
    site.keep("declare_schedules", "u0", [declared(name) for name in names])
    store.put_schedule(schedule("mine"), 0)
    store.pause_schedule("mine", None)
    assert len(store.schedules(names)) == 1000
    assert len(store.list_schedules(1000)) == 1000
    due = site.keep("due_schedules", "u0").due
    assert len(due) == 100
    rest = site.keep("due_schedules", "u0", dict.fromkeys([*names, *map(str, range(5000))], 10**9)).due
    assert len(rest) == 100
    passed = {one.name: one.revision for one in due}
    assert not {one.name for one in site.keep("due_schedules", "u0", passed).due} & set(passed)
    site.keep("fire", "u0", [firing(one, times=range(PAST_MS, PAST_MS + 50)) for one in due[:20]])
    site.keep("undeclare_schedules", "u0", "shop", 0)
    store.delete_schedule("mine")


def steering(site: Site) -> None:
    """Pauses of a queue with all priorities and of 300 queues, pages of what waits, and many dead letters."""
    store = site.store
    store.record_audit(AuditEntry("pause", "many", "ann", nonce="1"))
    store.audit_entries()
    store.pause("", "ann", "")
    store.enqueue([one._replace(queue="many", priority=place - 100) for place, one in enumerate(messages(201, 60_000))])
    store.enqueue(messages(300, 61_000))
    store.pause("many", "ann", "")
    assert len(store.pauses()) == 2
    assert store.resume("")
    assert store.resume("many")
    assert store.waiting_ids("queued").ids
    store.finished_ids(["SUCCESS"])
    assert len(store.waiting_ids("queued", queue="many").ids) == 100
    letters = [DeadLetter(f"1-{place}", "crashed", f"{place:032x}-u0", "0:a", 0, b"") for place in range(300)]
    assert store.discard_dead_letters(letters) == 0
    store.put_bulk("b", BulkState.APPLYING)
    store.put_bulk_members("b", "u0", 0, [f"{one.cursor},{one.id}" for one in letters[:100]])
    assert store.bulks()[0].id == store.take_bulk(1000).bulk.id
    assert len(store.bulk_members("b", "u0")[1]) == 100
    assert store.dead_letters_at("u0", [one.cursor for one in letters]) == []
    limit = Limit("a limit", 1, 1000)
    assert not any(store.replay_dead_letters(list(zip(letters, messages(300, 90_000, limit=limit), strict=True))))
    names = [f"0:many-{place}" for place in range(300)]
    moves = [Move(one, name, "1-1") for one, name in zip(messages(300, 90_000), names, strict=True)]
    assert not any(store.move("u0", moves))
    assert not any(store.discard_for_bulk("b", "u0", [(one.cursor, one.id) for one in letters]))
    assert store.restore_dead_letters("b", "u0") == (0, False)
    assert store.advance_bulk("b", "u0", 0, BulkCounts(0, 100, 100))


def asked_of_workers(site: Site) -> None:
    """What running tasks log, their stacks, requests to workers, and a paused task of 300 streams."""
    store = site.store
    store.watch_events()
    assert store.stack("a", "nonce", ask=True) is None
    site.keep("answer_stack", "a", "nonce", b"{}")
    site.keep("append_logs", [NewLog(f"{place:032x}-u0") for place in range(300)], "nonce")
    store.logs(f"{1:032x}-u0")
    store.request_worker("w", "drain")
    store.queue_counts("default", 5)
    counts = [(of_task(f"{place:0200}"), text_of(range(900_000, 900_000 + COUNTS))) for place in range(300)]
    for number in range(1, 3):
        site.keep("add_series", NewSeries("w", number, 0, counts))
    site.keep("note_release", "p", "r")
    for by_hour in (False, True):
        store.series([ALL, *(name for name, _ in counts[:7])], by_hour=by_hour)
    store.pause("", "ann", "", "t")
    store.resume("", "t")


def waits(site: Site) -> None:
    """A child that waits for work, and one that passes a wake-up on."""
    site.channel.start_wait(ClaimRequest(10**7, 1, alone=True))
    site.store.enqueue(messages(1, 70_000))
    exchange = site.channel.finish_wait()
    assert exchange is not None
    assert exchange.claimed
    site.channel.start_wait()
    site.channel.finish_wait()


def durable(site: Site) -> None:
    """Enqueueing as a durable call does, but for WAIT, which the strictest service does not have."""
    with pytest.raises(ConfigurationError, match="WAIT"):
        site.store.enqueue([messages(1, 80_000)[0]._replace(durability="replicated")])


PARTS: tuple[Callable[[Site], None], ...] = (
    enqueue_and_settle,
    workflows,
    schedules,
    steering,
    asked_of_workers,
    waits,
    durable,
)
NOT_HERE = {"touch"}
"""Only durable calls use it, and it has one key."""


@pytest.mark.slow
def test_no_call_is_too_large_for_the_strictest_service(
    site: Site, strict: StrictProxy, figure: Callable[[str], None]
) -> None:
    for part in PARTS:
        part(site)
    assert [text for text in strict.refusals if "WAIT" not in text] == []
    assert max(strict.largest.values()) <= MOST
    assert set(streamtasks_lua.names()) - set(strict.largest) == NOT_HERE, "each script is called here"
    shown = ", ".join(f"{name} {count}" for name, count in strict.largest.most_common(8))
    figure(f"most arguments and keys: {shown}")


def test_the_proxy_refuses_what_the_service_refuses(strict: StrictProxy) -> None:
    with redis.Redis.from_url(strict.url, protocol=2) as client:
        for command in (("EXISTS", *["k"] * 4000), ("EVAL", "return 1", "0"), ("CONFIG", "GET", "save")):
            with pytest.raises(redis.ResponseError):
                client.execute_command(*command)
        client.execute_command("EXISTS", *["k"] * 3999)
    assert len(strict.refusals) == 3


def test_calls_with_as_much_as_options_allow() -> None:
    """What no run above can reach: a child with 2,000 coroutines that all end at once, a worker of 1,000 queues."""
    settings = StoreSettings()
    streams = [(f"{place - 100}:{'q' * 8}{place}") for place in range(100)]
    outcomes = [
        Outcome(node_id(f"{place:032x}-u0", 1), f"w-1#{place}", streams[place], "1-1", 1, 1, 1, "SUCCEEDED",
                keep_ms=3_600_000 << place % 13, body=b"1 {}")
        for place in range(100)
    ]  # fmt: skip
    released = [f"w-1#{place}" for place in range(2100)]  # 2,000 that ended, and a claim ahead
    assert words(settle_call(KEYS, outcomes, 1, settings, released)) <= MOST
    queues = Filter("only", tuple(f"q{place}" for place in range(MOST_QUEUES)))
    candidates = [f"0:q{place}" for place in range(64)]
    assert words(claim_call(KEYS, "w-1", ClaimRequest(1, 100, alone=True), queues, candidates, settings)) <= MOST
    assert words(pass_wake_call(KEYS, queues)) <= MOST
    assert len(wake_lists(KEYS, queues)) + 1 <= MOST
    with pytest.raises(ConfigurationError, match="1001 queues are named; a worker takes 1000 at most"):
        WorkerOptions(queues=tuple(f"q{place}" for place in range(MOST_QUEUES + 1)))
