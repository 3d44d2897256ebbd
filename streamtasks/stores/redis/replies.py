"""Read the replies to commands that were sent together; errors of the server are values among them."""

from __future__ import annotations

from typing import Any

from redis.exceptions import ResponseError

__all__ = ["aread_replies", "read_replies"]


def read_replies(connection: Any, count: int) -> tuple[list[Any], bool]:
    """Return so many replies, and whether any of them is an error of the server.

    Raises:
        RedisError: the connection broke.
    """
    replies: list[Any] = []
    failed = False
    for _ in range(count):
        try:
            replies.append(connection.read_response())
        except ResponseError as error:
            replies.append(error)
            failed = True
    return replies, failed


async def aread_replies(connection: Any, count: int) -> list[Any]:
    """Return so many replies, on an event loop.

    Raises:
        RedisError: the connection broke.
    """
    replies: list[Any] = []
    for _ in range(count):
        try:
            replies.append(await connection.read_response())
        except ResponseError as error:
            replies.append(error)
    return replies
