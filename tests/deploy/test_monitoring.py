"""deploy/monitoring: rules, alerts and the board, by Prometheus's own tool; test_alerts.py has a real worker."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

from tests.support.compose import load
from tests.support.prometheus import BOARD, FOLDER, program, rules

ROOT = Path(__file__).parents[2]


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
