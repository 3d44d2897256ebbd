"""``streamtasks demo`` from outside: the tour, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.demo_process import DemoProcess
from tests.support.waiting import wait_until

STEPS = (
    "quick tasks",
    "a delayed task",
    "a failing task",
    "a coroutine task",
    "a task with progress",
    "a killed child",
)


def test_tour_is_right_and_leaves_nothing(tmp_path: Path, bound: Callable[[float], float]) -> None:
    with DemoProcess(tmp_path, "--once") as demo:
        assert demo.end() == 0, demo.text
        assert not demo.left()
    for step in STEPS:
        assert re.search(rf"│ {step} +│ .*[^ ].* │ +[\d.]+ m?s │ right ", demo.text), (step, demo.text)
    assert "200 of 200 right" in demo.text
    assert "ZeroDivisionError: division by zero" in demo.text
    assert "WRONG" not in demo.text
    took = re.search(r"The tour took ([\d.]+) s", demo.text)
    assert took
    assert float(took[1]) < bound(30)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    with DemoProcess(tmp_path) as demo:
        address = demo.address()
        with urllib.request.urlopen(address, timeout=60) as answer:
            page = answer.read().decode()
        assert "streamtasks demo" in page
        for name in re.findall(r'(?:src|href)="(/static/[^"]+)"', page):
            with urllib.request.urlopen(address + name.lstrip("/"), timeout=60) as answer:
                assert answer.status == 200, name
        wait_until(lambda: f"Dashboard {address}dashboard/" in demo.text, "the dashboard's address is printed")
        with urllib.request.urlopen(f"{address}dashboard/", timeout=60) as answer:
            assert '<main id="main"' in answer.read().decode()

        def succeeded() -> int:
            with urllib.request.urlopen(f"{address}dashboard/api/v1/default/status", timeout=60) as answer:
                found: int = json.load(answer)["outcomes"].get("SUCCESS", 0)
                return found

        wait_until(lambda: succeeded() > 1, "more is enqueued than the task that the demo waits for")
        assert len(demo.left()) >= 6  # site, server, root, keeper, two children
        demo.process.send_signal(signal.SIGINT)
        assert demo.end() == 0, demo.text
        assert not demo.left()
    assert "Traceback" not in demo.text
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_it_starts(tmp_path: Path) -> None:
    with DemoProcess(tmp_path) as demo:
        demo.wait_for_process("valkey")
        demo.process.send_signal(signal.SIGINT)
        assert demo.end() == 0, demo.text
        assert not demo.left()
    assert "Traceback" not in demo.text


def test_tour_broken_off(tmp_path: Path) -> None:
    with DemoProcess(tmp_path, "--once") as demo:
        wait_until(lambda: "ordinary Django tasks" in demo.text, "the tour begins")
        demo.process.send_signal(signal.SIGTERM)
        assert demo.end() == 130, demo.text
        assert not demo.left()
    assert "Traceback" not in demo.text


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends processes with their parent")
def test_killed_demo_leaves_nothing(tmp_path: Path) -> None:
    with DemoProcess(tmp_path) as demo:
        demo.address()
        demo.process.kill()
        wait_until(lambda: not demo.left(), "worker and server end with the demo")


def test_dead_worker_is_told(tmp_path: Path) -> None:
    with DemoProcess(tmp_path) as demo:
        demo.address()
        roots = [
            process for process in demo.left() if process.ppid() == demo.process.pid and _is_worker(process.cmdline())
        ]
        assert len(roots) == 1
        roots[0].kill()
        assert demo.end() == 1
        assert not demo.left()
    assert "The worker ended with status -9." in demo.text
    assert "Traceback" not in demo.text


def _is_worker(command: list[str]) -> bool:
    return "streamtasks_django.demo.worker" in command


def test_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with DemoProcess(tmp_path, "--port", str(port)) as demo:
            assert demo.end() == 1
            assert not demo.left()
    assert f"Port {port} of 127.0.0.1 cannot be had" in demo.text
    assert "Traceback" not in demo.text
