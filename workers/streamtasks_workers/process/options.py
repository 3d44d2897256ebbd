"""Options of a worker: from the command line, the environment, the project's settings, or defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from streamtasks.exceptions import ConfigurationError
from streamtasks.protocol.keys import check_queue
from streamtasks.protocol.validation import check_count, check_seconds
from streamtasks.stores.types import Filter

from .cores import usable_cores

__all__ = ["MOST_QUEUES", "WorkerOptions"]

MOST_QUEUES: Final = 1000
"""How many queues a worker may name: each is a key and an argument of a claim, and a service allows 3,999 of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How a worker works.

    Attributes:
        concurrency: children per app.
        threads: sync tasks at once in each child; 0: one at a time, on the child's main thread.
        async_concurrency: coroutine tasks at once in each child; 0: as for ``threads``.
        queues: serve only these; empty: all.
        exclude_queues: serve all but these.
        max_tasks_per_child: a child is replaced after so many attempts; 0: never.
        max_memory_per_child_mb: a child is replaced when it holds more, MiB; 0: never.
        grace_s: how long running tasks may take after SIGTERM, seconds.
        lease_s: a claim lives this long without renewal, seconds; None: that of the app's settings.
        time_limit_s: an attempt is ended after so long, seconds, if neither task nor call has a limit; None: never.
        soft_time_limit_s: `SoftTimeLimitExceeded` is raised in it after so long, likewise.
        fence_after_s: how long a worker that cannot renew its leases lets tasks run, seconds; None: the lease.
        metrics_port: serves metrics and health at this port; 0: not.
        metrics_host: the address for that; of IPv6 without brackets.
        release: of the project's code, for marks in charts and for declarations of schedules; empty: unknown.
    """

    concurrency: int = 0
    threads: int = 0
    async_concurrency: int = 0
    queues: tuple[str, ...] = ()
    exclude_queues: tuple[str, ...] = ()
    max_tasks_per_child: int = 0
    max_memory_per_child_mb: int = 0
    grace_s: float = 25.0
    lease_s: float | None = None
    time_limit_s: float | None = None
    soft_time_limit_s: float | None = None
    fence_after_s: float | None = None
    metrics_port: int = 0
    metrics_host: str = "127.0.0.1"
    release: str = ""

    def __post_init__(self) -> None:
        for name, most in (
            ("concurrency", 1000),
            ("threads", 1000),
            ("async_concurrency", 2000),
            ("max_tasks_per_child", None),
            ("max_memory_per_child_mb", None),
            ("metrics_port", 65_535),
        ):
            check_count(name, getattr(self, name), ConfigurationError, least=0, most=most)
        check_seconds("grace_s", self.grace_s, ConfigurationError, above_zero=False)
        for name in ("lease_s", "time_limit_s", "soft_time_limit_s", "fence_after_s"):
            if getattr(self, name) is not None:
                check_seconds(name, getattr(self, name), ConfigurationError)
        soft_s, hard_s = self.soft_time_limit_s, self.time_limit_s
        if soft_s is not None and hard_s is not None and soft_s >= hard_s:
            raise ConfigurationError(
                f"soft_time_limit_s is {soft_s:g} and time_limit_s {hard_s:g}; the soft one must come first."
            )
        if self.queues and self.exclude_queues:
            raise ConfigurationError("Give queues or exclude_queues, not both.")
        names = (*self.queues, *self.exclude_queues)
        if len(names) > MOST_QUEUES:
            raise ConfigurationError(
                f"{len(names)} queues are named; a worker takes {MOST_QUEUES} at most. Start several workers, or leave "
                "queues out to serve all."
            )
        for queue in names:
            check_queue(queue)

    @property
    def children(self) -> int:
        """Children per app: as given, else one for each processor that may be used."""
        return self.concurrency or usable_cores()

    @property
    def filter(self) -> Filter:
        """Which queues are served."""
        if self.queues:
            return Filter("only", self.queues)
        return Filter("except", self.exclude_queues) if self.exclude_queues else Filter()

    @classmethod
    def merged(cls, *layers: Mapping[str, Any]) -> WorkerOptions:
        """Return options from several layers, the strongest last.

        Raises:
            ConfigurationError: an option has an unknown name or a wrong value.
        """
        known = {field.name for field in fields(cls)}
        values: dict[str, Any] = {}
        for layer in layers:
            unknown = sorted(set(layer) - known)
            if unknown:
                raise ConfigurationError(
                    f"Unknown worker options: {', '.join(unknown)}. Known: {', '.join(sorted(known))}."
                )
            for one, other in (("queues", "exclude_queues"), ("exclude_queues", "queues")):
                if layer.get(one):
                    values.pop(other, None)  # a stronger choice of queues replaces the weaker one
            values.update((name, tuple(value) if isinstance(value, list) else value) for name, value in layer.items())
        return cls(**values)
