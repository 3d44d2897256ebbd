"""How much lies in a store, and since when; as metrics, too."""

from __future__ import annotations

import re
from typing import Any

from streamtasks.operations.store_metrics import StoreCollector, exposition
from streamtasks.settings import StoreSettings
from streamtasks.stores.base import Store
from streamtasks.stores.factory import open_store
from streamtasks.stores.measure_types import LimitMeasure
from streamtasks.stores.steering_types import AuditEntry
from streamtasks.stores.types import Limit, NewMessage
from tests.support.manual_consumer import Consumer


def message(number: int, queue: str = "default", priority: int = 0, **more: Any) -> NewMessage:
    return NewMessage(f"id-{number}", queue, priority, b'{"v":1}', **more)


def fill(store: Store) -> None:
    """Three ready, two claimed, one handed over to time, in two queues and three priorities."""
    store.enqueue([message(1), message(2), message(3, priority=7), message(4, "other", -3), message(5, "other", -3)])
    store.enqueue([message(6, due_ms=4_000_000_000_000)])
    with Consumer(store) as consumer:
        assert len(consumer.claim(2)) == 2


def test_queues(store_url: str) -> None:
    store = open_store(StoreSettings(url=store_url, timeout_s=60.0, enqueue_timeout_s=60.0))
    assert store.measures()[:7] == ([], 0, 0, 0, 0, 0, 0)
    fill(store)
    found = store.measures()
    assert [(one.queue, one.ready, one.claimed) for one in found.queues] == [("default", 1, 2), ("other", 2, 0)]
    assert all(0 < one.oldest_ms < 600_000 for one in found.queues)
    assert [one.added for one in found.queues] in ([3, 2], [0, 0])  # a database does not count
    assert [(one.delayed, one.limited) for one in found.queues] == [(1, 0), (0, 0)]
    assert (found.unfinished, found.delayed, found.limited, found.dead_kept, found.overdue_ms) == (6, 1, 0, 0, 0)


def test_what_waits_is_counted_by_queue(store_url: str) -> None:
    """Also in queues in which nothing has been yet; what is revoked counts no more."""
    store = open_store(StoreSettings(url=store_url, timeout_s=60.0, enqueue_timeout_s=60.0))
    store.enqueue([message(number, "later", due_ms=4_000_000_000_000) for number in range(3)])
    limit = Limit("tight", 60_000_000, 2)
    store.enqueue([message(number, "limited", limit=limit) for number in range(10, 14)])
    store.revoke("id-1")
    store.revoke("id-10")
    found = store.measures()
    assert [(one.queue, one.delayed, one.limited) for one in found.queues] == [("later", 2, 0), ("limited", 0, 3)]
    assert list(found.limits) == [LimitMeasure("tight", 2)]


def test_many_streams(redis_store: Any) -> None:
    """More than one call brings."""
    redis_store.enqueue([message(number, f"q{number}") for number in range(250)])
    found = redis_store.measures()
    assert [one.ready for one in found.queues] == [1] * 250
    [server] = found.servers
    assert server.memory_bytes > 0
    assert re.match(r"\d+\.\d+", server.version)
    assert server.lag_bytes is None


def test_exposition(server_url: str) -> None:
    store = open_store(StoreSettings(url=server_url, timeout_s=60.0, enqueue_timeout_s=60.0))
    fill(store)
    store.pause("other", "ann", "")
    store.pause("", "ann", "", "t")
    store.enqueue([message(30, "later", limit=Limit("tight", 60_000_000, 2))])
    for operation in ("pause", "purge", "purge failed"):
        store.record_audit(AuditEntry(operation, "default", "ann", "", nonce=operation))
    content_type, text = exposition(StoreCollector([store], with_limits=True), "")
    lines = text.decode().splitlines()
    assert content_type.startswith("text/plain")
    for line in (
        'streamtasks_queue_tasks{queue="default",state="ready"} 1.0',
        'streamtasks_queue_tasks{queue="other",state="ready"} 2.0',
        'streamtasks_queue_tasks{queue="default",state="delayed"} 1.0',
        'streamtasks_queue_tasks{queue="other",state="limited"} 0.0',
        'streamtasks_tasks_enqueued_total{queue="default"} 3.0',
        'streamtasks_tasks_enqueued_total{queue="other"} 2.0',
        'streamtasks_queue_workers{queue="default"} 0.0',
        'streamtasks_task_paused{task="t"} 1.0',
        'streamtasks_queue_paused{queue="default"} 0.0',
        'streamtasks_queue_paused{queue="other"} 1.0',
        "streamtasks_tasks_delayed 1.0",
        "streamtasks_workers 0.0",
        'streamtasks_limit_tokens{limit="tight"} 2.0',
        'streamtasks_operations_total{outcome="asked"} 2.0',
        'streamtasks_operations_total{outcome="failed"} 1.0',
    ):
        assert line in lines
    assert any(line.startswith("streamtasks_store_memory_bytes ") for line in lines)
