"""Prometheus with the rules of deploy/monitoring, as a program that scrapes what a test runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import pytest
import yaml

from tests.support.failure_logs import show_log
from tests.support.ports import free_port

__all__ = ["BOARD", "FOLDER", "Prometheus", "board_queries", "program", "rules"]

FOLDER: Final = Path(__file__).parents[2] / "deploy" / "monitoring"
BOARD: Final[dict[str, Any]] = json.loads((FOLDER / "dashboards" / "streamtasks.json").read_text())

OFTEN: Final = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "250ms"}
SOON: Final = "500ms"
"""For how long a fault must last here; for how long it must in earnest, alerts_test.yaml tests."""


def program(name: str) -> str:
    """Return a program of Prometheus: that of the folder in STREAMTASKS_PROMETHEUS, or an installed one."""
    folder = os.environ.get("STREAMTASKS_PROMETHEUS")
    found = f"{folder}/{name}" if folder else shutil.which(name)
    if not found:
        pytest.skip(f"needs {name} (Debian: prometheus), or STREAMTASKS_PROMETHEUS: the folder that has it")
    return found


def rules(kind: str) -> dict[str, Any]:
    """Return the rules of both files, by their names; ``kind``: ``alert`` or ``record``."""
    groups = [
        group
        for name in ("rules.yaml", "alerts.yaml")
        for group in yaml.safe_load((FOLDER / name).read_text())["groups"]
    ]
    return {rule[kind]: rule for group in groups for rule in group["rules"] if kind in rule}


def board_queries() -> list[str]:
    """Return what the panels of the board ask for."""
    return [target["expr"] for panel in BOARD["panels"] for target in panel.get("targets", ())]


class Prometheus:
    """A Prometheus with our configuration and rules, but for targets and times; a context manager.

    Args:
        directory: where its files go.
        targets: by the name of each job, the address that it scrapes.
        seconds: by the name of an alert, the limit in seconds that takes the place of the one in its expression.
    """

    def __init__(self, directory: Path, targets: Mapping[str, str], seconds: Mapping[str, float]) -> None:
        self._program = program("prometheus")
        self._address = f"127.0.0.1:{free_port()}"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        config = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
        config["global"] = OFTEN
        assert {job["job_name"] for job in config["scrape_configs"]} == targets.keys()
        for job in config["scrape_configs"]:
            job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
        for name in config["rule_files"]:
            text = yaml.safe_load((FOLDER / name).read_text())
            for rule in (rule for group in text["groups"] for rule in group["rules"] if "alert" in rule):
                if "for" in rule:
                    rule["for"] = SOON
                if (limit := seconds.get(rule["alert"])) is not None:
                    rule["expr"], changes = re.subn(r"> \d+$", f"> {limit:g}", rule["expr"])
                    assert changes == 1, rule
            (directory / name).write_text(yaml.safe_dump(text))
        (directory / "prometheus.yaml").write_text(yaml.safe_dump(config))

    def __enter__(self) -> Self:
        log = self._directory / "prometheus.log"
        show_log("prometheus", log)
        command = [
            self._program,
            f"--config.file={self._directory}/prometheus.yaml",
            f"--storage.tsdb.path={self._directory}/data",
            f"--web.listen-address={self._address}",
        ]
        with log.open("wb") as stream:
            self._process = subprocess.Popen(command, stdout=stream, stderr=stream)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def query(self, expression: str) -> list[Any]:
        """Return what it finds; nothing while it starts."""
        words = urllib.parse.urlencode({"query": expression})
        found: list[Any] = self._get(f"query?{words}").get("result", [])
        return found

    def firing(self) -> dict[str, list[dict[str, Any]]]:
        """Return the alerts that fire, by name, as Prometheus shows them."""
        found: dict[str, list[dict[str, Any]]] = {}
        for alert in self._get("alerts").get("alerts", []):
            if alert["state"] == "firing":
                found.setdefault(alert["labels"]["alertname"], []).append(alert)
        return found

    def _get(self, path: str) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://{self._address}/api/v1/{path}", timeout=30) as answer:
                found: dict[str, Any] = json.load(answer)["data"]
        except OSError:
            return {}  # it has just been started
        return found
