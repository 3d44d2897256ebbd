"""Measure the dashboard while it is open: how soon viewers see what happens, and what it costs a drain.

    uv run python benchmarks/dashboard_live.py events [--viewers 50] [--server redis-server]
    uv run python benchmarks/dashboard_live.py pixel [--viewers 50] [--server redis-server]
    uv run python benchmarks/dashboard_live.py drain [--viewers 1] [--tasks 60000] [--rounds 3] [--server redis-server]

``events`` enqueues tasks one by one and prints when viewers have the line of the stream that shows it: asked
is 500 ms; and how many commands a second the server runs for one viewer and for all. ``pixel`` measures from the call
of `enqueue()`, and from the settlement of a task, until one of the viewers, which is Chromium, has drawn it; it needs
chromium and chromedriver. ``drain`` takes turns without and with open overviews; asked is 0.97 of the speed. The
dashboard is served by uvicorn, in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import redis
from drain import URL_VARIABLE
from drain import streamtasks as drained
from operations import KEEP_MS

from streamtasks import StreamTasks
from streamtasks.stores.types import ClaimRequest, Filter, Outcome
from streamtasks_workers.testing.embedded import EmbeddedServer

EVENTS = 30
WINDOW_S = 10.0


def serve(url: str, port: int) -> None:
    """Serve the dashboard of the tasks at a URL."""
    import uvicorn
    from dashboard_pages import configure

    configure(url, "streamtasks:")
    from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
    from django.core.handlers.asgi import ASGIHandler

    uvicorn.run(ASGIStaticFilesHandler(ASGIHandler()), port=port, lifespan="off", log_level="error", access_log=False)


async def look(port: int, found: asyncio.Queue[tuple[float, int]] | None) -> None:
    """Look at the overview; note when a line came, and how many tasks wait by it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
    writer.write(b"GET /streamtasks/default/?live=events HTTP/1.1\r\nHost: testserver\r\n\r\n")
    async for line in reader:
        if found is not None and line.startswith(b"data: {"):
            came = time.perf_counter()
            overview = json.loads(line[6:])["parts"]["overview"]
            waiting = overview.partition("<dt>Waiting</dt><dd>")[2].partition("<")[0]
            found.put_nowait((came, int(waiting)))


def watch(port: int, viewers: int) -> None:
    """Look with so many viewers until the process is ended."""

    async def all_of_them() -> None:
        await asyncio.gather(*(look(port, None) for _ in range(viewers)))

    asyncio.run(all_of_them())


@contextmanager
def started(*arguments: object) -> Generator[int]:
    """Run this program with other arguments beside; its process id."""
    program = [sys.executable, __file__, *map(str, arguments)]
    process = subprocess.Popen(program, cwd=Path(__file__).parent, env=os.environ)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def wait_for(port: int) -> None:
    """Wait until the dashboard answers."""
    until = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


async def events(url: str, port: int, viewers: int) -> None:
    """Print how soon viewers see that tasks were enqueued, and what one and all of them cost."""
    app = StreamTasks(url)
    task = app.task(name="shop.pack")(lambda number: number)
    client: Any = redis.Redis.from_url(url)

    async def commands_a_second() -> float:
        before, since = client.info("stats")["total_commands_processed"], time.monotonic()
        await asyncio.sleep(WINDOW_S)
        after = client.info("stats")["total_commands_processed"]
        return float(after - before) / (time.monotonic() - since)

    queues: list[asyncio.Queue[tuple[float, int]]] = [asyncio.Queue() for _ in range(viewers)]
    open_pages = [asyncio.create_task(look(port, queues[0]))]
    await queues[0].get()
    of_one = await commands_a_second()
    open_pages += [asyncio.create_task(look(port, queue)) for queue in queues[1:]]
    for queue in queues[1:]:
        await queue.get()
    of_all = await commands_a_second()
    took: list[float] = []
    for number in range(1, EVENTS + 1):
        since = time.perf_counter()
        await asyncio.to_thread(task.enqueue, number)
        for queue in queues:
            while (seen := await queue.get())[1] < number:
                pass
            took.append(max(0.0, seen[0] - since) * 1000)
        await asyncio.sleep(0.3 + 0.7 * (number % 7) / 7)
    for one in open_pages:
        one.cancel()
    took.sort()
    p50, p95 = took[len(took) // 2], took[int(len(took) * 0.95)]
    print(f"event to line, {viewers} viewers: p50 {p50:.0f} ms, p95 {p95:.0f} ms, worst {took[-1]:.0f} ms (asked 500)")
    print(f"commands a second: {of_one:.1f} for one viewer, {of_all:.1f} for {viewers}")


DRAWN = """
const look = () => Object.fromEntries([...document.querySelectorAll("dl.figures div")].map(
    one => [one.querySelector("dt").textContent, one.querySelector("dd").textContent]));
window.drawn = [];
new MutationObserver(() => requestAnimationFrame(() => {
    const figures = look(), behind = new MessageChannel();  // its message comes when the frame has been drawn
    behind.port1.onmessage = () => drawn.push([Date.now(), figures]);
    behind.port2.postMessage(0);
})).observe(document.querySelector("[data-live]"), {subtree: true, childList: true, characterData: true});
"""


def chromium() -> Any:
    """Start a browser without a window."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in ("--headless", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def pixel(url: str, port: int, viewers: int) -> None:
    """Print how soon a browser has drawn that a task was enqueued, and that it was settled, beside other viewers."""
    app, browser = StreamTasks(url), chromium()
    task = app.task(name="shop.pack")(lambda number: number)
    channel = app.store.channel(app.settings.tags[0], "benchmark", Filter())
    took: dict[str, list[float]] = {"enqueued": [], "settled": []}

    def until_drawn(name: str, value: str, since: float) -> float:
        while True:
            for at_ms, figures in browser.execute_script("return drawn"):
                if at_ms >= int(since * 1000) and figures.get(name) == value:
                    return float(at_ms - since * 1000)
            time.sleep(0.05)

    try:
        browser.get(f"http://127.0.0.1:{port}/streamtasks/default/")
        browser.execute_script(DRAWN)
        time.sleep(2.0)
        for number in range(1, EVENTS + 1):
            since = time.time()
            task.enqueue(number)
            took["enqueued"].append(until_drawn("Waiting", "1", since))
            since = time.time()
            channel.send([], ClaimRequest(number, 1, alone=True))
            [claimed] = channel.receive().claimed
            until_drawn("Waiting", "0", since)
            time.sleep(0.3 + 0.7 * (number % 7) / 7)
            since = time.time()
            channel.send([Outcome.of(claimed, "SUCCESS", int(since * 1000), b'{"r":null}', keep_ms=KEEP_MS)], None)
            channel.receive()
            took["settled"].append(until_drawn("Success", str(number), since))
            time.sleep(0.3 + 0.7 * (number % 5) / 5)
    finally:
        browser.quit()
    for name, some in took.items():
        some.sort()
        p50, p95 = some[len(some) // 2], some[int(len(some) * 0.95)]
        figures = f"p50 {p50:.0f} ms, p95 {p95:.0f} ms, worst {some[-1]:.0f} ms (asked 500)"
        print(f"{name} to drawn, {viewers} viewers: {figures}")


def drain(url: str, port: int, site: int, given: Any) -> None:
    """Print how fast tasks are drained without and with open pages, taking turns, and what the site takes meanwhile."""
    ratios, shares, process = [], [], psutil.Process(site)
    for number in range(given.rounds):
        without, _ = drained(url, given.tasks, given.children)
        with started("watch", port, given.viewers):
            time.sleep(1.0)
            since, spent = time.monotonic(), sum(process.cpu_times()[:2])
            with_it, _ = drained(url, given.tasks, given.children)
            shares.append((sum(process.cpu_times()[:2]) - spent) / (time.monotonic() - since))
        ratios.append(with_it / without)
        print(f"round {number + 1}: {without:,.0f} tasks/s without, {with_it:,.0f} with: {ratios[-1]:.3f} x")
    print(f"with {given.viewers} open overviews: {statistics.median(ratios):.3f} x (asked 0.97)")
    print(f"the site took {statistics.median(shares):.3f} of a processor meanwhile")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("events", "pixel", "drain", "serve", "watch"))
    parser.add_argument("more", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--viewers", type=int, help="open pages; default: 1 for drain, else 50")
    parser.add_argument("--tasks", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--children", type=int, default=1)
    parser.add_argument("--server", help="a redis-server or valkey-server binary; default: the embedded one")
    given: Any = parser.parse_args()
    if given.what == "serve":
        serve(given.more[0], int(given.more[1]))
    elif given.what == "watch":
        watch(*map(int, given.more))
    else:
        given.viewers = given.viewers or (1 if given.what == "drain" else 50)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with EmbeddedServer(binary=given.server) as server, started("serve", server.url, port) as site:
            os.environ[URL_VARIABLE] = server.url
            wait_for(port)
            if given.what == "events":
                asyncio.run(events(server.url, port, given.viewers))
            elif given.what == "pixel":
                with started("watch", port, given.viewers - 1):
                    pixel(server.url, port, given.viewers)
            else:
                drain(server.url, port, site, given)


if __name__ == "__main__":
    main()
