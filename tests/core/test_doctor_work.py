"""What a doctor finds in what waits and in who works: queues, workers, claims, other projects on the same keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from streamtasks.operations.doctor import Finding, Level
from streamtasks.protocol.keys import Keys
from streamtasks.protocol.task_digests import digests
from streamtasks.stores.redis.operations.tags import NOTE_TAG
from streamtasks.stores.types import ClaimRequest, Filter, NewMessage
from tests.support.diagnoses import found, one, shop
from tests.support.manual_worker import ManualWorker
from tests.support.servers import silence
from tests.support.waiting import wait_until

PREFIX = "streamtasks:"
KEYS = Keys(PREFIX, "u0")
SHOP_TASKS = ("shop.add",)


@pytest.fixture
def client(server_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server_url, decode_responses=True) as opened:
        yield opened


@pytest.fixture
def beat(server_url: str) -> Iterator[Any]:
    """Have a worker give a sign of life."""
    with redis.Redis.from_url(server_url) as opened:

        def give(name: str = "w1", silent_ms: int = 0, tasks: tuple[str, ...] = SHOP_TASKS, **about: Any) -> None:
            seconds, micros = opened.time()
            now_ms = seconds * 1000 + micros // 1000
            opened.zadd(KEYS.workers, {name: now_ms - silent_ms})
            shown = {"host": "h", "pid": 1, "children": 2, "queue_mode": "all", "queues": [], "tasks": digests(tasks)}
            opened.hset(KEYS.worker_info, name, json.dumps(shown | about))

        yield give


def test_no_worker_and_tasks_that_wait(server_url: str) -> None:
    app = shop(server_url)
    app.tasks["shop.add"].enqueue(1, 2)
    finding = one(server_url, "workers")
    assert (finding.level, finding.values["unfinished"]) == (Level.WARNING, 1)


def test_a_queue_that_nobody_serves(server_url: str, beat: Any) -> None:
    app = shop(server_url)
    app.tasks["shop.add"].using(queue="mail").enqueue(1, 2)
    app.tasks["shop.add"].using(queue="reports").enqueue(1, 2)
    beat(queue_mode="only", queues=["mail"])
    findings = {finding.where: finding for finding in found(server_url, "queues")}
    assert {queue: finding.level for queue, finding in findings.items()} == {
        "mail": Level.OK, "reports": Level.WARNING,
    }  # fmt: skip
    assert "--queues reports" in findings["reports"].remedy


def test_a_dead_worker_with_claimed_messages(server_url: str, beat: Any) -> None:
    app = shop(server_url)
    app.tasks["shop.add"].enqueue(1, 2)
    channel: Any = app.store.channel("u0", "gone-1", Filter())
    channel.send((), ClaimRequest(1, 1, alone=True))
    assert channel.receive().claimed
    channel.close()
    beat("gone", silent_ms=120_000)
    beat("here")
    pending = found(server_url, "pending")
    assert pending[0].level == Level.WARNING
    assert pending[0].values["consumer"] == "gone-1"
    workers = found(server_url, "workers")
    assert [finding.level for finding in workers] == [Level.WARNING, Level.OK]
    assert "silent for 2 min" in " ".join(finding.message for finding in workers)


def test_claims_that_nobody_takes_back(server_url: str) -> None:
    app = shop(server_url, lease_s=1.0)
    app.tasks["shop.add"].enqueue(1, 2)
    with ManualWorker(app) as worker:
        assert worker.claim()

    def expired() -> list[Finding]:
        return [finding for finding in found(server_url, "pending") if "expired_claims" in finding.values]

    wait_until(lambda: bool(expired()), "the lease is over")
    assert [finding.level for finding in expired()] == [Level.WARNING]


def test_a_live_worker_with_claimed_messages(server_url: str, beat: Any) -> None:
    app = shop(server_url)
    app.tasks["shop.add"].enqueue(1, 2)
    with ManualWorker(app) as worker:
        assert worker.claim()
        beat("hand")
        finding = one(server_url, "pending")
    assert (finding.level, finding.values["messages"]) == (Level.OK, 1), finding


def test_keys_of_something_else_on_the_prefix(server_url: str, client: redis.Redis) -> None:
    client.set(f"{PREFIX}session:1", "x")
    client.set(f"{PREFIX}reports:{{u0}}:messages", "x")  # another alias, whose prefix begins with ours
    finding = one(server_url, "projects")
    assert (finding.level, finding.values["foreign_keys"]) == (Level.WARNING, 1)
    assert f"{PREFIX}session:1" in finding.message
    assert "key_prefix" in finding.remedy


def test_workers_of_another_project(server_url: str, beat: Any) -> None:
    beat("ours")
    beat("theirs", tasks=("bank.pay",))
    finding = one(server_url, "projects")
    assert (finding.level, finding.values["workers"]) == (Level.WARNING, ["theirs"])


def test_another_project_that_declares_schedules(server_url: str, client: redis.Redis) -> None:
    client.hset(KEYS.declarations, "bank:app", "1 2")
    client.hset(KEYS.declarations, "shop:app", "1 2")
    finding = one(server_url, "projects")
    assert (finding.level, finding.values["projects"]) == (Level.NOTE, ["bank:app"])


def test_shards_that_the_settings_do_not_name(server_url: str, client: redis.Redis) -> None:
    message = NewMessage("0" * 32 + "-qp", "default", 0, b"{}")
    shop(server_url, tags=("u0", "qp")).store.enqueue([message])
    for settings in ({}, {"tags": ("qp", "u0")}):
        error = one(server_url, "tags", **settings)
        assert (error.level, "over u0, qp: give these" in error.message) == (Level.ERROR, True), "as for all who use it"
    assert one(server_url, "tags", tags=("u0", "qp", "dj")).level == Level.OK, "it will be added"
    client.delete(Keys("streamtasks:", NOTE_TAG).tags)
    finding = one(server_url, "tags")
    assert (finding.level, finding.values["other_tags"]) == (Level.WARNING, ["qp"])


def test_a_silent_worker(server_url: str, beat: Any) -> None:
    beat("w")
    silence(shop(server_url).settings, "w", 60_000)
    [gone, _] = found(server_url, "workers")
    assert (gone.level, gone.values["worker"]) == (Level.WARNING, "w")
