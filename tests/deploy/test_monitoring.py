"""deploy/monitoring: rules, alerts and the board, by Prometheus's own programs and against a real worker."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.compose import load
from tests.support.failure_logs import show_log
from tests.support.fleet import Fleet
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE_S, wait_until

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "monitoring"
BOARD: dict[str, Any] = json.loads((FOLDER / "dashboards" / "streamtasks.json").read_text())


def program(name: str) -> str:
    """Return a program of Prometheus: that of the folder in STREAMTASKS_PROMETHEUS, or an installed one."""
    folder = os.environ.get("STREAMTASKS_PROMETHEUS")
    found = f"{folder}/{name}" if folder else shutil.which(name)
    if not found:
        pytest.skip(f"needs {name} (Debian: prometheus), or STREAMTASKS_PROMETHEUS: the folder that has it")
    return found


def rules(kind: str) -> dict[str, Any]:
    """Return the rules of a file, by their names."""
    groups = [
        group
        for name in ("rules.yaml", "alerts.yaml")
        for group in yaml.safe_load((FOLDER / name).read_text())["groups"]
    ]
    return {rule[kind]: rule for group in groups for rule in group["rules"] if kind in rule}


def board_queries() -> list[str]:
    return [target["expr"] for panel in BOARD["panels"] for target in panel.get("targets", ())]


def test_promtool_accepts_the_rules_and_each_alert_fires() -> None:
    for words in (
        ["check", "rules", "rules.yaml", "alerts.yaml"],
        ["check", "config", "--syntax-only", "prometheus.yaml"],
        ["test", "rules", "alerts_test.yaml"],
    ):
        done = subprocess.run([program("promtool"), *words], cwd=FOLDER, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_runbook_and_a_test() -> None:
    page, tested = (ROOT / "docs" / "monitoring.md").read_text("utf-8"), (FOLDER / "alerts_test.yaml").read_text()
    alerts = rules("alert")
    assert len(alerts) == 12
    for name, alert in alerts.items():
        assert alert["labels"]["severity"] in ("critical", "warning")
        assert alert["annotations"]["runbook_url"].endswith(f"docs/monitoring.md#{name.lower()}")
        assert f"### {name}\n" in page
        assert f'alertname="{name}"' in tested


def test_the_board_is_whole() -> None:
    panels = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    assert all(panel["title"] and panel["description"] and panel["targets"] for panel in panels)
    places = [tuple(panel["gridPos"][side] for side in "xywh") for panel in BOARD["panels"]]
    cells = [(column, line) for x, y, w, h in places for column in range(x, x + w) for line in range(y, y + h)]
    assert len(cells) == len(set(cells)), "no panel lies on another"


def test_what_compose_scrapes_is_there() -> None:
    services = load()["services"]
    for job in yaml.safe_load((FOLDER / "prometheus.yaml").read_text())["scrape_configs"]:
        for target in (target for group in job["static_configs"] for target in group["targets"]):
            name, _, port = target.partition(":")
            assert f"--metrics-port={port}" in services[name]["command"]


@pytest.fixture
def fleet(embedded_url: str, tmp_path: Path) -> Iterator[Fleet]:
    """An empty server, an app and no worker yet."""
    made = Fleet(embedded_url, tmp_path)
    yield made
    made.close()


@pytest.fixture
def prometheus(tmp_path: Path, fleet: Fleet) -> Iterator[str]:
    """The address of a Prometheus with our rules that scrapes a worker each second."""
    port, own_port = free_port(), free_port()
    fleet.start("--concurrency", "1", "--queues", "default", "--metrics-port", str(port))
    config = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    for name in config["rule_files"]:
        (tmp_path / name).write_text((FOLDER / name).read_text())
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
        for other in [key for key in job if key.endswith("_sd_configs")]:
            del job[other]
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config))
    log = tmp_path / "prometheus.log"
    show_log("prometheus", log)
    command = [
        program("prometheus"),
        f"--config.file={tmp_path}/prometheus.yaml",
        f"--storage.tsdb.path={tmp_path}/data",
    ]
    command.append(f"--web.listen-address=127.0.0.1:{own_port}")
    with log.open("wb") as stream, subprocess.Popen(command, stdout=stream, stderr=stream) as process:
        try:
            yield f"http://127.0.0.1:{own_port}"
        finally:
            process.kill()


@pytest.mark.slow
def test_queries_find_something_of_a_real_worker_and_alerts_its_faults(prometheus: str, fleet: Fleet) -> None:
    def query(expression: str) -> list[Any]:
        words = urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(f"{prometheus}/api/v1/query?{words}", timeout=30) as answer:
                found: list[Any] = json.load(answer)["data"]["result"]
        except OSError:
            return []  # it has just been started
        return found

    wait_until(lambda: query('up{job="streamtasks"} == 1'), "the worker is scraped")
    until = time.monotonic() + DEADLINE_S
    recorded = [*rules("record")]
    everything = [one.replace("$queue", ".*") for one in (*board_queries(), *recorded)]
    names = {
        name
        for alert in rules("alert").values()
        for name in re.findall(r"(?<![:\w])streamtasks_\w+(?![:\w])", alert["expr"])
    }
    everything += sorted(names - {"streamtasks_replication_lag_bytes"})  # there is no replica
    while missing := [one for one in everything if not query(one)]:
        assert time.monotonic() < until, missing
        fleet.many("add", [(1, 1)] * 20)
        fleet.enqueue("fail", "broken")
        fleet.enqueue("again", 1, 0.0)
        time.sleep(0.5)

    def wait_for(*alerts: str) -> None:
        """Wait until what these alerts ask for holds; for how long it must, alerts_test.yaml tests."""
        expressions = {name: rules("alert")[name]["expr"] for name in alerts}
        wait_until(
            lambda: all(map(query, expressions.values())),
            lambda: f"not {[name for name, expression in expressions.items() if not query(expression)]}",
            every_s=0.3,
        )

    fleet.many("fail", [("broken",)] * 60)
    fleet.many("again", [(6, 0.0)] * 15)
    fleet.enqueue("add", 1, 1, queue="nobody")
    wait_for("StreamtasksTaskFailures", "StreamtasksRetryStorm", "StreamtasksQueueUnserved")
    memory: Any = fleet.client.info("memory")
    fleet.client.config_set("maxmemory", round(memory["used_memory"] * 1.05))
    try:
        wait_for("StreamtasksStoreMemory")
    finally:
        fleet.client.config_set("maxmemory", 0)
    for worker in fleet.workers:
        worker.end()
    wait_for("StreamtasksNoWorkers")
