"""Measure how long every page of the dashboard takes, at some number of tasks and at ten times as many.

    uv run python benchmarks/dashboard_pages.py [--tasks 100000] [--queues 50] [--server redis-server]

So many are queued and as many finished; asked are 100 ms at the 95th percentile, and 1.2 times the smaller number's.
The pages are asked of Django in this process, without a server of its own. 1,000,000 take some minutes to make.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest
from django.urls import include, path
from operations import enqueue, finish

from streamtasks import StreamTasks
from streamtasks.operations import inspect

ASKED = 40


def everybody(_: HttpRequest) -> set[str]:
    """Return all roles."""
    return {"view", "see_arguments", "operate", "administer"}


def configure(url: str, prefix: str) -> None:
    """Set Django up with the dashboard alone."""
    backend = "streamtasks_django.backends.redis.RedisBackend"
    settings.configure(
        SECRET_KEY="of a benchmark",
        ALLOWED_HOSTS=["testserver"],
        INSTALLED_APPS=["streamtasks_django", "streamtasks_django.dashboard"],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
        STATIC_URL="/static/",
        ROOT_URLCONF="dashboard_pages",
        STREAMTASKS={"DASHBOARD_ROLES": "dashboard_pages.everybody"},
        TASKS={"default": {"BACKEND": backend, "OPTIONS": {"url": url, "key_prefix": prefix}}},
    )
    django.setup()


def addresses(task_id: str) -> dict[str, str]:
    """Return the addresses of all pages that can be shown, with their queries."""
    from django.urls import reverse

    from streamtasks_django.dashboard.urls import urlpatterns

    found: dict[str, str] = {}
    ones = {"queue": "name=queue1", "task": ""}
    for route in urlpatterns:
        name = str(route.name)
        if name.startswith("api_") or "GET" not in getattr(route.callback, "methods", ()) or name == "index":
            continue
        parts = {"task_id": task_id} if "task_id" in str(route.pattern) else {}
        if "<str:workflow_id>" in str(route.pattern) or "<str:bulk_id>" in str(route.pattern):
            continue
        if name in ("worker", "letter", "schedule"):  # there is none
            continue
        address = reverse(f"streamtasks_dashboard:{name}", kwargs={"alias": "default", **parts})
        found[name] = f"{address}?{ones.get(name, '')}"
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
    enqueue(app, count, queues)
    finish(app)
    enqueue(app, count, queues)
    return inspect.tasks(app.store, app.settings.wire, "failed", limit=1).tasks[0].id


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
        app.task(name="shop.pack")(lambda number: number)
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
