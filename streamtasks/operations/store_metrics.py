"""The metrics of what lies in stores, for Prometheus: read when they are asked for, in constant time for each queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from urllib.parse import parse_qs

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ..stores.base import Store
from ..stores.inspection_types import WorkerInfo
from ..stores.measure_types import MOST_LIMITS, Measures, QueueMeasure
from ..stores.steering_types import Pause

__all__ = ["MOST_QUEUES", "StoreCollector", "asks_for_limits", "exposition"]

MOST_QUEUES = 500
"""So many queues have metrics of their own; those behind them, by name, are added up as ``other``."""


class StoreCollector(Collector):
    """Collects how much lies in stores, and since when. Queues of the same name in several stores are added up.

    Its `collect` raises `StoreError` if a store cannot be reached.

    Args:
        stores: of the aliases or apps.
        with_limits: also what each rate limit in use would allow, at most 40 series.
    """

    def __init__(self, stores: Sequence[Store], *, with_limits: bool = False) -> None:
        self._stores = stores
        self._with_limits = with_limits

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics of the stores."""
        all_measures, workers = [], []
        for store in self._stores:
            measures, its_workers = store.measures(), [one for one in store.workers() if one.is_live]
            all_measures.append(measures)
            workers.append((measures, its_workers, store.pauses()))
        yield from _queues(workers)
        about = "1: nothing is claimed of the task until it is resumed."
        tasks = GaugeMetricFamily("streamtasks_task_paused", about, labels=("task",))
        for task in sorted({pause.task for _, _, pauses in workers for pause in pauses if pause.task})[:MOST_QUEUES]:
            tasks.add_metric((task,), 1)
        yield tasks
        for name, about, number in (
            ("streamtasks_tasks_unfinished", "Tasks without an outcome.", sum(one.unfinished for one in all_measures)),
            ("streamtasks_tasks_delayed", "Tasks that wait for their time.", sum(one.delayed for one in all_measures)),
            ("streamtasks_tasks_limited", "Tasks that wait for a limit.", sum(one.limited for one in all_measures)),
            ("streamtasks_dead_letters_kept", "Dead letters kept.", sum(one.dead_kept for one in all_measures)),
            (
                "streamtasks_schedule_overdue_seconds",
                "For how long the first due occurrence of a schedule has been due.",
                max((one.overdue_ms for one in all_measures), default=0) / 1000,
            ),
            (
                "streamtasks_workers",
                "Workers that give signs of life.",
                len({worker.name for _, some, _ in workers for worker in some}),
            ),
        ):
            yield GaugeMetricFamily(name, about, number)
        if self._with_limits:
            yield _limits(all_measures)
        about = "What operators asked for, and how it ended; audit entries."
        operations = CounterMetricFamily("streamtasks_operations", about, labels=("outcome",))
        for outcome, count in sorted(_outcomes(all_measures).items()):
            operations.add_metric((outcome,), count)
        yield operations
        yield from _servers(all_measures)


def _limits(all_measures: Sequence[Measures]) -> Metric:
    about = "How many starts a rate limit that is in use would allow now."
    family = GaugeMetricFamily("streamtasks_limit_tokens", about, labels=("limit",))
    tokens = {limit.name: limit.tokens for one in all_measures for limit in one.limits}
    for limit in sorted(tokens)[:MOST_LIMITS]:
        family.add_metric((limit,), tokens[limit])
    return family


def _outcomes(all_measures: Sequence[Measures]) -> Counter[str]:
    """Return how often operations had each outcome; the audit says which they were."""
    found: Counter[str] = Counter()
    for measures in all_measures:
        for (_, outcome), count in measures.operations.items():
            found[outcome] += count
    return found


def _queues(found: Sequence[tuple[Measures, Sequence[WorkerInfo], Sequence[Pause]]]) -> Iterator[Metric]:
    tasks = GaugeMetricFamily("streamtasks_queue_tasks", "Tasks in a queue.", labels=("queue", "state"))
    about = "Messages that came to a queue: enqueued ones, those that became due, and each retry."
    enqueued = CounterMetricFamily("streamtasks_tasks_enqueued", about, labels=("queue",))
    about = "For how long the oldest task that waits could be claimed."
    ages = GaugeMetricFamily("streamtasks_queue_oldest_age_seconds", about, labels=("queue",))
    serving = GaugeMetricFamily("streamtasks_queue_workers", "Workers that serve a queue.", labels=("queue",))
    about = "1: nothing is claimed of the queue until it is resumed."
    pauses = GaugeMetricFamily("streamtasks_queue_paused", about, labels=("queue",))
    by_queue: dict[str, QueueMeasure] = {}
    workers: dict[str, int] = {}
    paused: dict[str, bool] = {}
    for measures, live, its_pauses in found:
        kinds = {_queues_of(one): one for one in live}  # few, however many workers there are
        alike = Counter(map(_queues_of, live))
        held = {pause.queue for pause in its_pauses if pause.queue}
        all_held = any(pause.is_everything for pause in its_pauses)
        for one in measures.queues:
            name = one.queue if one.queue in by_queue or len(by_queue) < MOST_QUEUES else "other"
            by_queue[name] = one._replace(queue=name).plus(by_queue.get(name))
            workers[name] = max(
                workers.get(name, 0), sum(alike[kind] * worker.serves(one.queue) for kind, worker in kinds.items())
            )
            paused[name] = paused.get(name, False) or all_held or one.queue in held
    for name, one in by_queue.items():
        tasks.add_metric((name, "ready"), one.ready)
        tasks.add_metric((name, "claimed"), one.claimed)
        tasks.add_metric((name, "delayed"), one.delayed)
        tasks.add_metric((name, "limited"), one.limited)
        ages.add_metric((name,), one.oldest_ms / 1000)
        serving.add_metric((name,), workers[name])
        pauses.add_metric((name,), paused[name])
        if one.added:
            enqueued.add_metric((name,), one.added)
    yield tasks
    yield enqueued
    yield ages
    yield serving
    yield pauses


def _queues_of(worker: WorkerInfo) -> tuple[str, ...]:
    return worker.about.get("queue_mode", "all"), *worker.about.get("queues", ())


def _servers(all_measures: Sequence[Measures]) -> Iterator[Metric]:
    servers = {server.address: server for measures in all_measures for server in measures.servers}
    memory = sum(server.memory_bytes for server in servers.values())
    limits = [server.memory_limit_bytes for server in servers.values()]
    lags = [server.lag_bytes for server in servers.values() if server.lag_bytes is not None]
    yield GaugeMetricFamily("streamtasks_store_memory_bytes", "What the masters use.", memory)
    about = "What they may use; 0: one has no limit."
    yield GaugeMetricFamily("streamtasks_store_memory_limit_bytes", about, sum(limits) if all(limits) else 0)
    lag = GaugeMetricFamily("streamtasks_replication_lag_bytes", "What the slowest replica has yet to get.")
    if lags:
        lag.add_metric((), max(lags))
    yield lag
    info = GaugeMetricFamily("streamtasks_store_info", "Versions of the servers; always 1.", labels=("server",))
    for version in sorted({server.version for server in servers.values()}):
        info.add_metric((version,), 1)
    yield info


def asks_for_limits(query: str) -> bool:
    """Return whether the query of a scrape asks for the series of limits: ``limits=1``."""
    return parse_qs(query).get("limits", ["0"])[-1] == "1"


def exposition(collector: Collector, accept: str) -> tuple[str, bytes]:
    """Return the content type and the text of metrics, in the format that a client's Accept header asks for.

    Raises:
        StoreError: a store cannot be reached.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    encode, content_type = choose_encoder(accept)
    return content_type, encode(registry)
