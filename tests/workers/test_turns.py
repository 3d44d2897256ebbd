"""Runs of many roles begin in turns, so that the event loop goes on with other work between them."""

from __future__ import annotations

import asyncio
from collections import Counter

from streamtasks_workers.roles import turns
from streamtasks_workers.roles.turns import Turns


async def test_few_begin_at_once() -> None:
    some = Turns()
    runs = [asyncio.ensure_future(some.next()) for _ in range(turns.AT_A_TIME)]
    await asyncio.sleep(0)
    assert all(one.done() for one in runs)


async def test_many_begin_a_few_a_turn() -> None:
    """However long a turn takes: those that are due by then do not all begin in the next one."""
    some = Turns()
    begun: list[int] = []
    turn = 0

    async def run() -> None:
        await some.next()
        begun.append(turn)

    runs = [asyncio.ensure_future(run()) for _ in range(10 * turns.AT_A_TIME)]
    while not all(one.done() for one in runs):
        turn += 1
        await asyncio.sleep(2 * turns.TURN_S)
    assert max(Counter(begun).values()) <= 4 * turns.AT_A_TIME
    assert len(set(begun)) >= 3


async def test_one_that_is_cancelled_takes_no_turn() -> None:
    some = Turns()
    for _ in range(turns.AT_A_TIME):
        await some.next()
    gone = [asyncio.ensure_future(some.next()) for _ in range(2 * turns.AT_A_TIME)]
    last = asyncio.ensure_future(some.next())
    await asyncio.sleep(0)
    for one in gone:
        one.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    await last
    assert len(some._waiting) == 0  # pyright: ignore[reportPrivateUsage]
