"""Serve metrics and health over HTTP, on a thread of the keeper."""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs

from prometheus_client.registry import Collector

from streamtasks.exceptions import StoreError, UnknownQueue
from streamtasks.operations.scale import scale
from streamtasks.operations.store_metrics import StoreCollector, asks_for_limits, exposition
from streamtasks.stores.base import Store
from streamtasks.stores.factory import open_store

from ..process.worker_counters import WorkerCounters
from ..roles.base import ServedApp
from .health import WorkerHealth
from .worker_metrics import WorkerCollector

__all__ = ["MOST_ASKING", "Pages", "few_at_once", "serve_worker", "start_server"]

logger = logging.getLogger("streamtasks.worker")

MOST_REQUESTS: Final = 8
"""So many requests are answered at once; others are turned away."""

MOST_ASKING: Final = 4
"""So many of these may wait for stores; others are refused at once, so that health is told while a store is away."""

REQUEST_S: Final = 5.0
"""A client has so long to send its request, seconds."""

type Answer = tuple[HTTPStatus, str, bytes]
type Pages = Mapping[str, Callable[[str, str], Answer]]
"""By path: what answers a request with its Accept header and its query."""


def serve_worker(
    listener: socket.socket, apps: Sequence[ServedApp], counters: WorkerCounters, stopping: Callable[[], bool]
) -> None:
    """Serve metrics and health of a worker, in its keeper; ``stopping`` returns whether it claims no more."""
    stores = [open_store(app.settings) for app in apps]
    pages = pages_of(WorkerCollector(apps, counters), stores, WorkerHealth(apps, stopping))
    asking: Pages = {"/metrics/store": pages["/metrics/store"], "/scale": partial(scale_page, stores)}
    start_server(listener, {**pages, **few_at_once(asking)})


def start_server(listener: socket.socket, pages: Pages) -> None:
    """Answer requests for pages on threads of this process, as long as it lives."""
    server = _Server(listener, pages)
    threading.Thread(target=server.serve_forever, name="streamtasks-monitor", daemon=True).start()


def few_at_once(pages: Pages) -> Pages:
    """Return pages of which together at most `MOST_ASKING` are made at once; further requests get 503."""
    places = threading.BoundedSemaphore(MOST_ASKING)

    def limited(page: Callable[[str, str], Answer], accept: str, query: str) -> Answer:
        if not places.acquire(blocking=False):
            text = f"{MOST_ASKING} requests wait for the store already; ask later\n"
            return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", text.encode()
        try:
            return page(accept, query)
        finally:
            places.release()

    return {path: partial(limited, page) for path, page in pages.items()}


def scale_page(stores: Sequence[Store], _accept: str, query: str) -> Answer:
    """Return what an autoscaler needs of the queue that the query names, as JSON."""
    values = parse_qs(query)
    queue, target = values.get("queue", ["default"])[-1], values.get("target", ["60"])[-1]
    try:
        found = scale(stores, queue, min(max(float(target), 1.0), 86_400.0))
    except (UnknownQueue, ValueError):
        text = "write /scale?queue=default&target=60: a queue's name, and seconds\n"
        return HTTPStatus.BAD_REQUEST, "text/plain", text.encode()
    except StoreError as error:
        return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", f"{error}\n".encode()
    return HTTPStatus.OK, "application/json", json.dumps(found._asdict()).encode() + b"\n"


def metrics_page(collector: Collector, accept: str, _query: str = "") -> Answer:
    """Return metrics, in the format that the client asks for: OpenMetrics has exemplars."""
    try:
        return HTTPStatus.OK, *exposition(collector, accept)
    except StoreError as error:
        return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", f"{error}\n".encode()


def store_page(stores: Sequence[Store], accept: str, query: str) -> Answer:
    """Return the metrics of what lies in stores."""
    return metrics_page(StoreCollector(stores, with_limits=asks_for_limits(query)), accept)


def pages_of(collector: Collector, stores: Sequence[Store], health: WorkerHealth) -> Pages:
    """Return the pages of a worker; ``stores``: those of its apps."""
    return {
        "/metrics": partial(metrics_page, collector),
        "/metrics/store": partial(store_page, stores),
        "/healthz": lambda *_: _health_page(*health.live()),
        "/readyz": lambda *_: _health_page(*health.ready()),
    }


def _health_page(is_well: bool, state: Mapping[str, Any]) -> Answer:
    status = HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE
    return status, "application/json", json.dumps(state).encode() + b"\n"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, pages: Pages) -> None:
        super().__init__(("", 0), partial(_Handler, pages), bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self._places = threading.BoundedSemaphore(MOST_REQUESTS)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - not our names
        logger.debug("a request for metrics or health failed: %r", sys.exception())


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_S
    server_version = "streamtasks"
    sys_version = ""

    def __init__(self, pages: Pages, *args: Any) -> None:
        self._pages = pages
        super().__init__(*args)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        path, _, query = self.path.partition("?")
        page = self._pages.get(path)
        if page is None:
            status, content_type, body = (
                HTTPStatus.NOT_FOUND,
                "text/plain",
                b"/metrics, /metrics/store, /healthz, /readyz, /scale\n",
            )
        else:
            status, content_type, body = page(self.headers.get("Accept", ""), query)
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - not our name
        logger.debug("monitor: %s", format % args)
