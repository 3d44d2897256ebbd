"""Measure how long each page of the dashboard and each GET of its API takes, with some tasks and ten times as many.

    uv run python benchmarks/dashboard_pages.py [--tasks 100000] [--queues 50] [--server redis-server]

So many are queued and as many finished, in 50 queues and by 500 names; a thousandth waits for one of ten rate limits.
Charts have something in each minute of a day. Asked are 100 ms at the 95th percentile, and 1.2 times the smaller one's.
The pages are asked of Django in this process, without a server of its own. 1,000,000 take some minutes to make.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest
from django.urls import include, path
from operations import enqueue, finish

from streamtasks import StreamTasks
from streamtasks.operations import inspect
from streamtasks.protocol import series
from streamtasks.stores.factory import open_supervisor_store
from streamtasks.stores.series_types import NewSeries

ASKED = 40
NAMES = [f"shop.task{number}" for number in range(500)]
LIMITED = [f"shop.limited{number}" for number in range(10)]


def everybody(_: HttpRequest) -> set[str]:
    """Return all roles."""
    return {"view", "see_arguments", "operate", "administer"}


def configure(url: str, prefix: str) -> None:
    """Set Django up with the dashboard alone."""
    backend = "streamtasks_django.backends.redis.RedisBackend"
    settings.configure(
        SECRET_KEY="of a benchmark",
        ALLOWED_HOSTS=["testserver", "127.0.0.1"],
        INSTALLED_APPS=["django.contrib.staticfiles", "streamtasks_django", "streamtasks_django.dashboard"],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
        STATIC_URL="/static/",
        ROOT_URLCONF="dashboard_pages",
        STREAMTASKS={"DASHBOARD_ROLES": "dashboard_pages.everybody"},
        TASKS={"default": {"BACKEND": backend, "OPTIONS": {"url": url, "key_prefix": prefix}}},
    )
    django.setup()


def addresses(task_id: str) -> dict[str, str]:
    """Return the addresses of all pages and GETs of the API that can be asked for, with their queries."""
    from django.urls import reverse

    from streamtasks_django.dashboard.api.operation import OPERATIONS
    from streamtasks_django.dashboard.urls import urlpatterns

    found: dict[str, str] = {}
    nothing = {"workflow", "bulk", "worker", "letter", "schedule", "letter_raw", "index"}
    queries = {"queue": "name=queue1", "charts": "queue=queue1", "series": "queue=queue1"}
    for route in urlpatterns:
        name, parts = str(route.name), {"task_id": task_id} if "task_id" in str(route.pattern) else {}
        if "GET" in getattr(route.callback, "methods", ()) and name not in nothing:
            address = reverse(f"streamtasks_dashboard:{name}", kwargs={"alias": "default", **parts})
            found[name] = f"{address}?{queries.get(name, '')}"
    for one in OPERATIONS:
        where = one.path.replace("{task_id}", task_id)
        if one.method == "GET" and "{" not in where and not where.endswith(("/one", "/stacks")):
            found[f"api {one.path}"] = f"/streamtasks/api/v1/default/{where}?{queries.get(one.path, '')}"
    for state in inspect.STATES:
        found[f"tasks {state}"] = f"{found['tasks']}q=state:{state}"
    found["tasks, none match"] = f"{found['tasks']}q=state:queued+arg.0=-1"
    return found


def measure(task_id: str) -> dict[str, tuple[float, float]]:
    """Return of each page the 95th percentile of its time, and the median of processor time in this process, ms."""
    from django.test import Client

    client, found = Client(), {}
    for name, address in addresses(task_id).items():
        times, cpu = [], []
        for _ in range(ASKED):
            since, since_cpu = time.perf_counter(), time.process_time()
            response = client.get(address)
            times.append((time.perf_counter() - since) * 1000)
            cpu.append((time.process_time() - since_cpu) * 1000)
            assert response.status_code == 200, (name, response.content[-500:])
        found[name] = sorted(times)[int(ASKED * 0.95) - 1], sorted(cpu)[ASKED // 2]
    return found


def fill(app: StreamTasks, count: int, queues: int) -> str:
    """Finish so many tasks and enqueue as many; return the id of one that has failed."""
    enqueue(app, count, queues, NAMES)
    finish(app)
    enqueue(app, count, queues, NAMES)
    for name in LIMITED:
        app.tasks[name].enqueue_many((number,) for number in range(count // 1000 // len(LIMITED)))
    return inspect.tasks(app.store, app.settings.wire, "failed", limit=1).tasks[0].id


async def fill_charts(app: StreamTasks, queues: int) -> None:
    """Count something in each minute of a day for everything and one queue, and once for all other queues and names."""
    keeper = open_supervisor_store(app.settings)
    counts = series.text_of([one * 7 for one in range(series.COUNTS)])
    every = [(series.ALL, counts), (series.of_queue("queue1"), counts)]
    for minute in range(24 * 60):
        await keeper.add_series(NewSeries("benchmark", 1 + minute, (24 * 60 - minute) * 60_000, every))
    others = [*map(series.of_task, NAMES), *(series.of_queue(f"queue{number}") for number in range(queues))]
    await keeper.add_series(NewSeries("benchmark", 10_000, 0, [(name, counts) for name in others]))


def main() -> None:
    """Print a line for each page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100_000, help="queued, and as many finished, in the smaller store")
    parser.add_argument("--queues", type=int, default=50)
    parser.add_argument("--server", help="a redis-server or valkey-server binary; default: the embedded one")
    given: Any = parser.parse_args()
    from streamtasks_workers.testing.embedded import EmbeddedServer

    with EmbeddedServer(binary=given.server) as server:
        app = StreamTasks(server.url)
        for name in NAMES:
            app.task(name=name)(lambda number: number)
        for name in LIMITED:
            app.task(name=name, rate_limit="1/h")(lambda number: number)
        asyncio.run(fill_charts(app, given.queues))
        configure(server.url, app.settings.key_prefix)
        few = measure(fill(app, given.tasks, given.queues))
        many = measure(fill(app, given.tasks * 9, given.queues))
        print(f"{'page':24} {given.tasks:>12,} {given.tasks * 10:>12,}   p95, ms, and processor time, median, ms")
        for name, (slow, cpu) in many.items():
            print(f"{name:24} {few[name][0]:12.1f} {slow:12.1f}   {slow / few[name][0]:.2f} x   {cpu:6.1f}")


if not settings.configured and __name__ == "__main__":
    main()
else:
    from streamtasks_django.dashboard import urls as dashboard

    urlpatterns = [path("streamtasks/", include(dashboard))]
