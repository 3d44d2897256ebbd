"""The banner that a worker logs when it starts."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence

from streamtasks import __version__
from streamtasks.application import Application

from ..process.options import WorkerOptions
from .worker_plan import WorkerPlan

__all__ = ["banner"]


def banner(plan: WorkerPlan, servers: Sequence[str], grace_s: float) -> str:
    """Return the lines of the start.

    Args:
        plan: of the worker.
        servers: each app's server in words, see `introduce`.
        grace_s: how long running tasks may take after SIGTERM, seconds.
    """
    lines = [f"streamtasks {__version__}, Python {platform.python_version()}, worker {plan.name}"]
    for (app, options), schedules, server in zip(plan.apps, plan.schedules, servers, strict=True):
        lines += _app_lines(app, options, server, len(schedules))
    lines.append(f"  grace      {grace_s:g} s after SIGTERM")
    metrics = "off (--metrics-port)"
    if plan.listener is not None:
        host, port = plan.listener.getsockname()[:2]
        metrics = f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics, /healthz and /readyz beside it"
    lines.append(f"  metrics    {metrics}")
    return "\n".join(lines)


def _app_lines(app: Application, options: WorkerOptions, server: str, schedules: int) -> Iterator[str]:
    settings = app.settings
    lease_s = settings.lease_s
    yield f"  serves     {app.label}: {len(app.task_names())} tasks, {schedules} schedules declared"
    yield f"  server     {settings.shown_url} ({server}), key_prefix {settings.key_prefix!r}"
    yield f"  queues     {_queues(options)}"
    yield f"  executor   {_executor(options)}"
    yield f"  limits     {_limits(options)}"
    yield f"  lease      {lease_s:g} s, fenced after {options.fence_after_s or lease_s:g} s without renewal"


def _queues(options: WorkerOptions) -> str:
    if options.queues:
        return ", ".join(options.queues)
    return f"all but {', '.join(options.exclude_queues)}" if options.exclude_queues else "all"


def _executor(options: WorkerOptions) -> str:
    children = f"{options.children} {'child' if options.children == 1 else 'children'}"
    kinds = []
    if options.threads:
        kinds.append(f"{options.threads} threads")
    if options.async_concurrency:
        kinds.append(f"{options.async_concurrency} coroutines")
    return f"{children}, each with {' and '.join(kinds)}" if kinds else f"inline, {children}"


def _limits(options: WorkerOptions) -> str:
    """Return the limits of tasks without their own, and when a child is replaced."""
    parts = []
    if options.soft_time_limit_s is not None:
        parts.append(f"soft {options.soft_time_limit_s:g} s")
    if options.time_limit_s is not None:
        parts.append(f"hard {options.time_limit_s:g} s")
    if options.max_tasks_per_child:
        parts.append(f"a child is replaced after {options.max_tasks_per_child} tasks")
    if options.max_memory_per_child_mb:
        parts.append(f"a child is replaced past {options.max_memory_per_child_mb} MiB")
    return ", ".join(parts) or "none but those of tasks"
