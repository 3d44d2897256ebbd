"""Bodies that harm the event loop."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress
from typing import Any

from .body import KEPT, Bodies

__all__ = ["BODIES"]

BODIES = hostile = Bodies()


@hostile()
async def stop_the_loop() -> str:
    """Stop the running loop."""
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.05)
    return "went on"


@hostile()
async def close_the_running_loop() -> None:
    """Close the running loop."""
    asyncio.get_running_loop().close()


@hostile()
async def exit_in_the_background() -> str:
    """Start an asyncio task that calls `sys.exit`."""

    async def leave() -> None:
        sys.exit(1)

    KEPT.append(asyncio.get_running_loop().create_task(leave()))
    await asyncio.sleep(0.05)
    return "went on"


@hostile()
async def exit_in_a_callback() -> str:
    """Let a callback of the loop raise KeyboardInterrupt."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    asyncio.get_running_loop().call_soon(interrupt)
    await asyncio.sleep(0.05)
    return "went on"


@hostile()
async def cancel_everything() -> str:
    """Cancel `asyncio.all_tasks()`."""
    for task in asyncio.all_tasks():
        task.cancel()
    await asyncio.sleep(0.05)
    return "went on"


@hostile()
async def cancel_itself() -> None:
    """Cancel its own asyncio task."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(1)


@hostile()
async def use_timeouts() -> str:
    """Use time-outs and groups of asyncio, which rest on cancelling: no harm."""
    with suppress(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.sleep(1)
    with suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(1))
            group.create_task(asyncio.wait_for(asyncio.sleep(1), 0.01))
    return "in time"


@hostile()
async def block_the_loop() -> str:
    """Block the loop for 2 s."""
    time.sleep(2)  # noqa: ASYNC251 (that is the harm)
    return "went on"


@hostile()
async def spoil_the_loop() -> str:
    """Give the loop an exception handler, a task factory and an executor that raise, and debug mode."""
    loop = asyncio.get_running_loop()

    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError("refused")

    loop.set_exception_handler(refuse)
    loop.set_task_factory(refuse)
    loop.set_debug(True)
    await loop.shutdown_default_executor()
    loop.call_soon(refuse)
    await asyncio.sleep(0.05)
    return "spoilt"


@hostile()
async def remove_readers() -> str:
    """Remove every descriptor that the loop watches."""
    loop = asyncio.get_running_loop()
    for fd in range(200):
        with suppress(Exception):
            loop.remove_reader(fd)
    return "removed"


@hostile()
async def leave_asyncio_tasks() -> str:
    """Leave 100 asyncio tasks that never end."""
    KEPT.extend(asyncio.get_running_loop().create_task(asyncio.sleep(600)) for _ in range(100))
    return "left"


@hostile()
def close_the_current_loop() -> str:
    """Close the loop that `asyncio.get_event_loop()` returns."""
    loop = asyncio.new_event_loop()
    try:
        loop = asyncio.get_event_loop_policy().get_event_loop()  # pyright: ignore[reportDeprecated]
    except RuntimeError:
        asyncio.set_event_loop(loop)
    loop.close()
    return "closed"


@hostile()
def run_a_loop() -> str:
    """Call `asyncio.run` in a task; a coroutine must not."""
    asyncio.run(asyncio.sleep(0.01))
    return "ran"
