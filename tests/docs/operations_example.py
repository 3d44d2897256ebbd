"""The app whose tasks docs/operations.md looks at and steers."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import redis

from streamtasks import StreamTasks
from streamtasks.protocol.errors import describe
from streamtasks.protocol.json import dumps
from streamtasks.protocol.keys import Keys
from streamtasks.protocol.log_lines import LogLine, encode_line
from streamtasks.stores.factory import open_supervisor_store
from streamtasks.stores.inspection_types import NewLog
from tests.support.manual_consumer import Consumer, outcome_of

if TYPE_CHECKING:
    from pathlib import Path

    from streamtasks.stores.types import Claimed

APP = """
from streamtasks import StreamTasks

app = StreamTasks({url!r})

@app.task(name="shop.pack", queue="orders")
def pack(order_id, fast=False): ...

@app.task(name="shop.mail", queue="mails")
def mail(address): ...
"""


def _pack(order_id: int) -> None:
    raise LookupError(f"order {order_id} has no address")


def _outcome(claimed: Claimed) -> Any:
    result = b""
    try:
        _pack(int(claimed.id.rpartition("-")[2]))
    except LookupError as error:
        result = dumps({"e": describe(error)})
    if claimed.id == "order-12":
        return outcome_of(claimed, "DEAD", result)._replace(note="crashed")
    return outcome_of(claimed, "FAILURE", result)


async def _log(app: StreamTasks) -> None:
    at_ms = time.time_ns() // 1_000_000
    lines = [
        LogLine(at_ms, 1, "INFO", "shop", "packing order 11"),
        LogLine(at_ms, 1, "", "stdout", "looking for an address"),
    ]
    text = b"".join(encode_line(line, 1000) for line in lines)
    await open_supervisor_store(app.settings).append_logs([NewLog("order-11", text)], "n")


def prepare(url: str, folder: Path, ahead_ms: int = 0) -> None:
    """Write the app's module, and enqueue: one that failed, a dead letter, one that is delayed, and three that wait.

    ``ahead_ms``: how far in the future the last sign of life of the worker is.
    """
    (folder / "shop.py").write_text(APP.format(url=url))
    app = StreamTasks(url)
    pack = app.task(name="shop.pack", queue="orders")(_pack)
    mail = app.task(name="shop.mail", queue="mails")(_pack)
    for number in (11, 12):
        pack.apply_async((number,), task_id=f"order-{number}")
    with Consumer(app.store, "web1-4711-5f2c90aa-1") as child:
        child.settle(*map(_outcome, child.claim()))
    asyncio.run(_log(app))
    pack.apply_async((9007199254740993,), {"fast": True}, task_id="order-13")
    pack.apply_async((14,), task_id="order-14", countdown=3600)
    for number in (1, 2):
        mail.apply_async((f"ann{number}@example.com",), task_id=f"mail-{number}")
    keys = Keys(app.settings.key_prefix, "u0")
    about = {"host": "web1", "pid": 4711, "queue_mode": "only", "queues": ["orders"], "children": 4}
    with redis.Redis.from_url(url) as client:
        client.zadd(keys.workers, {"web1-4711-5f2c90aa": time.time_ns() // 1_000_000 + ahead_ms})
        client.hset(keys.worker_info, "web1-4711-5f2c90aa", json.dumps(about))
