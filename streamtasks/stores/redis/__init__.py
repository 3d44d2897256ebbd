"""The store on Redis Streams: scripts, connections, and the sync and async drivers of the same operations."""

from .aio import AsyncRedisStore
from .store import RedisStore

__all__ = ["AsyncRedisStore", "RedisStore"]
