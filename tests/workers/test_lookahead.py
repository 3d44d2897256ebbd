"""Children with many places: what is claimed ahead, and threads that take the next message by themselves."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from streamtasks_workers.executor.lookahead import Lookahead
from streamtasks_workers.executor.task_coroutines import TaskCoroutines
from streamtasks_workers.executor.task_threads import TaskThreads


def test_ahead_is_what_starts_soon() -> None:
    ahead = Lookahead()
    assert ahead.of(50) == 0, "nothing is known yet"
    ahead.measured(20_000_000)
    assert (ahead.of(50), ahead.of(1000), ahead.of(2)) == (20, 100, 0)
    for _ in range(100):
        ahead.measured(10_000_000_000)
    assert ahead.of(1000) == 0, "nothing waits behind long tasks"


async def test_a_free_thread_takes_the_next_message_without_the_loop() -> None:
    ran: list[int] = []

    def run(_prepared: Any, slot: int) -> tuple[int, Any]:
        ran.append(slot)
        return slot, SimpleNamespace(id=str(slot))

    heard = asyncio.Event()
    errors: list[BaseException] = []
    threads = TaskThreads(1, run, errors.append)
    threads.listen(asyncio.get_running_loop(), heard.set)
    prepared: Any = None
    for slot in (1, 2, 3):
        threads.begin(slot, prepared)
    assert (threads.in_hand, threads.waiting) == (3, 2), "what was not taken counts as in hand"
    threads.close()  # the loop has not run meanwhile
    assert ran == [1, 2, 3]
    async with asyncio.timeout(60):
        await heard.wait()
    assert [(one.slot, one.started_ns) for one in threads.take()] == [(1, 1), (2, 2), (3, 3)]
    assert (threads.in_hand, threads.waiting, errors) == (0, 0, [])


async def test_a_coroutine_that_waited_for_a_place_has_begun_when_that_is_free() -> None:
    begun: list[int] = []
    seen: list[list[int]] = []
    gates = {slot: asyncio.Event() for slot in (1, 2)}

    async def run(_prepared: Any, slot: int) -> None:
        begun.append(slot)
        await gates[slot].wait()

    errors: list[BaseException] = []
    prepared: Any = SimpleNamespace(attempt=None)
    coroutines = TaskCoroutines(1, run, lambda *_: None, lambda: seen.append(begun[:]), errors.append)
    for slot in gates:
        coroutines.begin(slot, prepared)
    assert begun == [], "what was claimed together is in hand before any of it runs"
    await asyncio.sleep(0)
    assert (begun, coroutines.waiting, coroutines.in_hand) == ([1], 1, 2)
    for gate in gates.values():
        gate.set()
    for _ in range(3):  # both end, the second one begins with the end of the first
        await asyncio.sleep(0)
    assert (seen, errors, coroutines.in_hand) == ([[1, 2], [1, 2]], [], 0)
