"""Connections of an event loop are closed when it ends, however often a program makes a new one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest
import redis
from redis.exceptions import MaxConnectionsError

from streamtasks import StoreSettings, StoreUnavailable
from streamtasks.stores.redis import AsyncRedisStore, RedisStore
from streamtasks.stores.redis.pools import AsyncPool, async_pool, sync_pool
from streamtasks.stores.redis.subscription import LOOK_S
from streamtasks.stores.types import NewMessage
from tests.support.manual_consumer import Consumer, outcome_of
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
    import asyncio, gc, logging, sys, warnings
    import psutil
    from streamtasks import StreamTasks

    app = StreamTasks(sys.argv[1])

    @app.task
    def nothing() -> None: ...

    async def some() -> None:
        async with asyncio.timeout(60):
            results = await asyncio.gather(*(nothing.aenqueue() for _ in range(3)))
        waiting = asyncio.create_task(results[0].aget())
        await asyncio.sleep(0.001)  # its end is the loop's: `run` cancels it wherever it has come

    sockets = lambda: len(psutil.Process().net_connections("tcp"))
    warnings.simplefilter("error")
    logging.getLogger("asyncio").setLevel("ERROR")  # how long a step took is no matter here
    sys.unraisablehook = lambda unraisable: print("unraisable:", unraisable.exc_value)
    gc.disable()  # it must not be what closes them
    asyncio.run(some())
    before = sockets()
    for _ in range(200):
        asyncio.run(some())
    print("left open:", sockets() - before, "of", before)
    gc.collect()
    print("loops alive:", sum(isinstance(thing, asyncio.BaseEventLoop) for thing in gc.get_objects()))
"""


@pytest.mark.slow
def test_two_hundred_loops_leave_no_socket_and_no_warning(embedded_url: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", str(program), embedded_url],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == ["left open: 0 of 0", "loops alive: 0"]
    with redis.Redis.from_url(embedded_url) as client:
        assert client.hlen("streamtasks:{u0}:messages") == 603


def test_a_loop_that_was_only_closed_is_forgotten_with_the_next_one(embedded_url: str) -> None:
    settings = StoreSettings(url=embedded_url)

    async def pool() -> AsyncPool:
        return await async_pool(settings)

    left = asyncio.new_event_loop()
    first = left.run_until_complete(pool())
    assert left.run_until_complete(pool()) is first
    left.close()
    assert asyncio.run(pool()) is not first


async def test_a_connection_is_used_again(embedded_url: str) -> None:
    store = AsyncRedisStore(StoreSettings(url=embedded_url))
    with redis.Redis.from_url(embedded_url) as client:
        for number in range(20):
            await store.enqueue([NewMessage(str(number), "default", 0, b"{}")])
        connected = client.info("clients")
        for _ in range(20):
            await store.read(["1"])
        assert client.info("clients")["connected_clients"] == connected["connected_clients"]


async def test_waits_one_after_the_other_subscribe_on_one_connection(embedded_url: str) -> None:
    store = AsyncRedisStore(StoreSettings(url=embedded_url))
    await store.enqueue([NewMessage(str(number), "default", 0, b"{}") for number in range(20)])
    await store.wait_finished(["0"], 0.001)
    with redis.Redis.from_url(embedded_url) as client:
        before = client.info("stats")["total_connections_received"]
        for number in range(20):
            assert await store.wait_finished([str(number)], 0.001) == []
        assert client.info("stats")["total_connections_received"] == before


async def test_a_wait_survives_that_its_kept_connection_was_closed(embedded_url: str) -> None:
    store = AsyncRedisStore(StoreSettings(url=embedded_url))
    await store.enqueue([NewMessage("1", "default", 0, b"{}")])
    await store.wait_finished(["1"], 0.001)
    with redis.Redis.from_url(embedded_url) as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        with Consumer(RedisStore(StoreSettings(url=embedded_url))) as hand:
            waiting = asyncio.create_task(store.wait_finished(["1"], 60.0))
            await asyncio.to_thread(wait_until, lambda: client.info("clients")["pubsub_clients"], "it subscribes")
            hand.settle(outcome_of(hand.claim(1)[0], "SUCCESS", b'{"r":3}'))
            async with asyncio.timeout(LOOK_S / 2):
                [found] = await waiting
    assert found.id == "1"


async def test_more_than_max_connections_wait_for_their_turn(embedded_url: str) -> None:
    store = AsyncRedisStore(StoreSettings(url=embedded_url, max_connections=2, timeout_s=60.0, enqueue_timeout_s=60.0))
    found = await asyncio.gather(*(store.read(["none"]) for _ in range(50)))
    assert found == [[None]] * 50


async def test_none_free_until_the_deadline_is_an_error(embedded_url: str) -> None:
    settings = StoreSettings(url=embedded_url, max_connections=1, timeout_s=0.2)
    pool = await async_pool(settings)
    held = await pool.get()
    with pytest.raises(MaxConnectionsError, match="all 1 connections"):
        await pool.get()
    with pytest.raises(StoreUnavailable, match="all 1 connections"):
        await AsyncRedisStore(settings).read(["none"])
    await pool.put(held)
    assert await AsyncRedisStore(settings).read(["none"]) == [None]


def test_none_free_for_a_thread_until_the_deadline_is_an_error(embedded_url: str) -> None:
    settings = StoreSettings(url=embedded_url, max_connections=1, timeout_s=0.2)
    pool = sync_pool(settings)
    held = pool.get()
    with pytest.raises(MaxConnectionsError, match="all 1 connections"):
        pool.get()
    pool.put(held)
    assert RedisStore(settings).read(["none"]) == [None]


async def test_a_closed_pool_serves_on_and_keeps_nothing(embedded_url: str) -> None:
    pool = await async_pool(StoreSettings(url=embedded_url))
    await pool.close()
    connection = await pool.get()
    await connection.connect()
    await pool.put(connection)
    assert not connection.is_connected
