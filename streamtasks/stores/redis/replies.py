"""Read the replies to commands that were sent together; errors of the server are values among them."""

from __future__ import annotations

from typing import Any

from redis.exceptions import ResponseError

__all__ = ["aread_replies", "read_replies"]


def read_replies(connection: Any, count: int, slow_s: float = 0.0) -> tuple[list[Any], bool]:
    """Return so many replies, and whether any of them is an error of the server.

    Args:
        connection: a connection of redis-py, on which the commands were sent.
        count: how many replies are read.
        slow_s: how much longer than the connection's time-out each of the last two replies may take, in seconds.

    Raises:
        RedisError: the connection broke.
    """
    replies: list[Any] = []
    failed = False
    for left in range(count, 0, -1):
        if slow_s and left <= 2:
            connection.can_read(slow_s)
        try:
            replies.append(connection.read_response())
        except ResponseError as error:
            replies.append(error)
            failed = True
    return replies, failed


async def aread_replies(connection: Any, count: int, slow_s: float = 0.0) -> list[Any]:
    """Do what `read_replies` does, on an event loop; return the replies.

    Raises:
        RedisError: the connection broke.
    """
    replies: list[Any] = []
    for left in range(count, 0, -1):
        own_s = connection.socket_timeout
        timeout_s = own_s + slow_s if own_s and slow_s and left <= 2 else None
        try:
            replies.append(await connection.read_response(timeout=timeout_s))
        except ResponseError as error:
            replies.append(error)
    return replies
