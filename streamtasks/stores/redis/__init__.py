"""The store on Redis Streams: one set of operations, with a blocking and an asynchronous driver."""

from .store import AsyncRedisStore, RedisStore

__all__ = ["AsyncRedisStore", "RedisStore"]
