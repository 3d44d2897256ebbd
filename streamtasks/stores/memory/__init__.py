"""A store in the memory of one process, for development and tests, and the model that other stores are compared with.

Every transition is a small function beside the Lua script of the same purpose, on plain dicts. The clock can be
moved, so that what is due in a week can be tested today.
"""

from .aio import AsyncMemoryStore
from .clock import Clock
from .server import MemoryServer
from .store import MemoryStore

__all__ = ["AsyncMemoryStore", "Clock", "MemoryServer", "MemoryStore"]
