"""Wait for a file descriptor on an event loop."""

from __future__ import annotations

import asyncio

__all__ = ["readable"]


async def readable(fd: int) -> None:
    """Wait until a file descriptor is readable."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, _set, ready)
    try:
        await ready
    finally:
        loop.remove_reader(fd)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
