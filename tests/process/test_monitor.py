"""Metrics and health of a real worker over HTTP, and what it tells systemd."""

from __future__ import annotations

import json
import re
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.support.fleet import Fleet
from tests.support.ports import free_port
from tests.support.waiting import wait_until
from tests.support.worker_process import kill


def get(port: int, path: str, accept: str = "") -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def value(text: str, series: str) -> float:
    """Return the value of a series, 0 if it is not there: labels in alphabetical order."""
    found = re.search(f"^{re.escape(series)} (\\S+)", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_metrics_and_health(fleet: Fleet) -> None:
    port = free_port()
    worker = fleet.start("--concurrency", "2", "--metrics-port", str(port))
    gate = fleet.gate()
    fleet.many("add", [(n, 1) for n in range(300)])
    fleet.enqueue("fail", "broken")
    fleet.enqueue("again", 1, 0.0)
    fleet.enqueue("nap", 0.15)
    fleet.wait_drained()
    held = fleet.enqueue("nap_until", gate.path)
    wait_until(lambda: value(get(port, "/metrics")[1], 'streamtasks_tasks_running{queue="default"}') == 1, "it runs")

    def scraped() -> str:
        text = get(port, "/metrics", "application/openmetrics-text")[1]
        return text if value(text, series % ("success", "add")) == 300 else ""

    series = 'streamtasks_tasks_finished_total{outcome="%s",queue="default",task="%s"}'
    text = wait_until(scraped, "300 calls are counted")
    assert text.endswith("# EOF\n")
    assert value(text, series % ("failure", "fail")) == 1
    assert value(text, 'streamtasks_task_retries_total{queue="default",reason="raised",task="again"}') == 1
    assert value(text, 'streamtasks_task_duration_seconds_count{task="add"}') == 300
    assert (
        value(text, 'streamtasks_task_wait_seconds_count{queue="default"}') == 304
    )  # what runs counts when it has ended
    assert re.search(r'task="nap"\} 1.0 # \{task_id="[^"]+"\} 0\.\d+', text), "an exemplar"
    assert value(text, 'streamtasks_worker_slots{state="busy"}') == 1
    assert value(text, "streamtasks_last_claim_timestamp_seconds") > 1e9
    assert get(port, "/nothing")[0] == 404
    stored = get(port, "/metrics/store")[1]
    assert "streamtasks_limit_tokens" not in stored, "as many series as limits: only if they are asked for"
    assert "# TYPE streamtasks_limit_tokens gauge" in get(port, "/metrics/store?limits=1")[1]
    assert value(stored, 'streamtasks_queue_tasks{queue="default",state="claimed"}') == 1
    assert value(stored, 'streamtasks_queue_workers{queue="default"}') == 1

    status, body = get(port, "/healthz")
    live: Any = json.loads(body)
    assert (status, live["status"], sorted(child["running"] for child in live["children"])) == (200, "ok", [0, 1])
    wait_until(lambda: get(port, "/readyz")[0] == 200, "it is ready")

    # Neither the end of a child nor that of the keeper takes anything back.
    keeper, children = worker.pids()[1:]
    assert keeper is not None
    kill(keeper)
    for child in children:
        kill(child)

    def again() -> bool:
        now = get(port, "/metrics")[1]
        reason = 'streamtasks_task_retries_total{queue="default",reason="crash",task="nap_until"}'
        return value(now, series % ("success", "add")) == 300 and value(now, reason) == 1

    wait_until(again, "the crash is counted, and nothing else has changed")
    gate.open()
    assert held.get(timeout=60) is not None

    # It is not ready any more while it stops.
    gate = fleet.gate()
    fleet.enqueue("nap_until", gate.path)
    wait_until(lambda: value(get(port, "/metrics")[1], 'streamtasks_tasks_running{queue="default"}') == 1, "it runs")
    worker.terminate()
    wait_until(lambda: get(port, "/readyz")[0] == 503, "it is not ready")
    assert get(port, "/healthz")[0] == 200
    gate.open()
    assert worker.wait() == 0


def test_a_port_in_use(fleet: Fleet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        worker = fleet.worker("--metrics-port", str(taken.getsockname()[1]))
        worker.spawn()
        assert worker.wait() == 2
    worker.wait_log("Choose another --metrics-port")


def test_systemd(fleet: Fleet, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(tmp_path / "notify"))
        line.settimeout(60)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        worker = fleet.start("--concurrency", "1", environment=environment)
        heard: set[bytes] = set()
        while len(heard) < 2:  # the first ones may have filled the line, which has room for few
            heard.add(line.recv(100))
        assert heard == {b"READY=1", b"WATCHDOG=1"}
        worker.terminate()
        while line.recv(100) != b"STOPPING=1":
            pass
        assert worker.wait() == 0
