"""Operators drain and stop workers through the store."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest
from click.testing import CliRunner, Result

from streamtasks import State
from streamtasks.operations.series import chart
from streamtasks_workers.cli.main import streamtasks_command
from tests.support.fleet import Fleet
from tests.support.waiting import wait_until


def run(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, *words: str) -> Result:
    class Found:
        label, settings, owner = "app", fleet.app.settings, fleet.app.owner

    monkeypatch.setattr("streamtasks_workers.cli.target.Target.one", lambda _: Found)
    return CliRunner().invoke(streamtasks_command, words)


def test_a_worker_is_drained_and_stopped(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = fleet.start("--concurrency", "1")
    fleet.wait_idle(1)
    [info] = fleet.app.store.workers()
    gate = fleet.gate()
    held = fleet.enqueue("nap_until", gate.path)
    wait_until(lambda: held.state == State.STARTED, "it runs")
    asked = run(fleet, monkeypatch, "workers", "drain", info.name, "--reason", "bad disk")
    assert (asked.exit_code, asked.output) == (0, f"{info.name}: asked to drain\n")
    wait_until(lambda: "draining" in run(fleet, monkeypatch, "workers").output, "the worker has heard of it")
    late = run(fleet, monkeypatch, "workers", "drain", info.name, "--wait", "0.01")
    assert (late.exit_code, "it runs 1 tasks" in late.output) == (1, True)
    waits = fleet.enqueue("add", 1, 2)
    gate.open()
    drained = run(fleet, monkeypatch, "workers", "drain", info.name, "--wait", "60")
    assert (drained.exit_code, drained.output) == (0, f"{info.name}: drained: it runs nothing\n")
    assert held.state == State.SUCCESS
    stopped = run(fleet, monkeypatch, "workers", "stop", info.name, "--wait", "60")
    assert (stopped.exit_code, stopped.output) == (0, f"{info.name}: has left\n")
    assert worker.wait() == 0
    assert waits.state == State.QUEUED
    gone = run(fleet, monkeypatch, "workers", "stop", info.name)
    assert (gone.exit_code, f"No worker {info.name} is registered" in gone.output) == (1, True)
    entries: Any = fleet.app.store.audit_entries()
    assert [(one.operation, one.target) for one in entries[-2:]] == [("drain", info.name), ("drain", info.name)]
    assert entries[-1].reason == "bad disk"
    counted = chart(fleet.app.store)
    assert (counted.tasks, counted.queues) == (["nap_until"], ["default"]), "what it had counted came when it left"
    assert sum(one.succeeded for one in counted.points) == 1
    [release] = counted.releases
    assert release.release.endswith("streamtasks " + version("streamtasks"))
