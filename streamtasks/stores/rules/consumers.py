"""Names of consumers: ``<worker>-<number of the child>``."""

from __future__ import annotations

__all__ = ["RESERVED_MS", "worker_of"]

RESERVED_MS = 2000
"""A suspect is reserved for so long for the consumer that makes room for it, from its last claim or look on, ms."""


def worker_of(consumer: str) -> str:
    """Return the worker that a consumer belongs to; a consumer without a number is a worker of its own."""
    return consumer.rpartition("-")[0] or consumer
