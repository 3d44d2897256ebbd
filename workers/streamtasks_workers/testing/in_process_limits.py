"""Time limits and revocation of tasks that run in-process: they are raised in the task, as far as that can be done.

A plain task sees them at its next bytecode, so not within a call that blocks (``time.sleep``, a query); a coroutine
where it awaits. What catches even the hard limit and goes on is not ended before it returns: that takes a process to
kill. Its outcome is the limit's all the same.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any

from streamtasks.stores.memory import MemoryServer
from streamtasks.stores.types import Outcome

from ..executor.guards import CoroutineGuard, ThreadGuard
from ..executor.prepared import Prepared
from ..executor.runner import Runner
from ..process.board import Interrupt

__all__ = ["arun_limited", "run_limited"]


def run_limited(server: MemoryServer, runner: Runner, prepared: Prepared) -> Outcome:
    """Run a plain task on this thread."""
    guard = prepared.guard = ThreadGuard()
    timers = [threading.Timer(delay_s, guard.interrupt, [kind]) for kind, delay_s in _limits(prepared)]
    with _revocations(server, prepared, guard.interrupt):
        for timer in timers:
            timer.daemon = True
            timer.start()
        try:
            return runner.run(prepared)
        finally:
            for timer in timers:
                timer.cancel()


def arun_limited(server: MemoryServer, runner: Runner, prepared: Prepared) -> Coroutine[Any, Any, Outcome]:
    """Run a coroutine task on the running event loop, in an asyncio task of its own: so it has its own context."""
    guard = prepared.guard = CoroutineGuard()

    async def run() -> Outcome:
        loop = asyncio.get_running_loop()
        timers = [loop.call_later(delay_s, guard.interrupt, kind) for kind, delay_s in _limits(prepared)]
        with _revocations(server, prepared, lambda kind: _soon(loop, guard, kind)):
            try:
                return await asyncio.create_task(runner.arun(prepared))
            finally:
                for timer in timers:
                    timer.cancel()

    return run()


def _soon(loop: asyncio.AbstractEventLoop, guard: CoroutineGuard, kind: int) -> None:
    loop.call_soon_threadsafe(guard.interrupt, kind)


def _limits(prepared: Prepared) -> list[tuple[int, float]]:
    limits = prepared.limits
    if limits is None:
        return []
    known = ((Interrupt.SOFT_LIMIT, limits.soft_s), (Interrupt.HARD_LIMIT, limits.hard_s))
    return [(kind, limit_s) for kind, limit_s in known if limit_s is not None]


@contextmanager
def _revocations(server: MemoryServer, prepared: Prepared, interrupt: Callable[[int], None]) -> Generator[None]:
    """Interrupt the task when it is revoked with ``terminate``, from wherever."""
    wanted = f"revoke {prepared.claimed.id} 1"

    def hear(channel: str, _tag: str, text: str) -> None:
        if channel == "control" and text == wanted:
            interrupt(Interrupt.REVOKED)

    server.listeners.append(hear)
    try:
        yield
    finally:
        server.listeners.remove(hear)
