"""The comparison runs, its files are as the page about it says, and the page shows what was set for each system."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / "benchmarks" / "compare")]


def test_the_page_shows_what_was_set_for_each_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    report = importlib.import_module("compare.report")
    assert report.settings() in report.PAGE.read_text("utf-8"), (
        "run: uv run python benchmarks/compare --from RUN.json --write-docs"
    )


def test_what_is_unknown_is_named() -> None:
    done = subprocess.run([*COMMAND, "--only", "floor,nobody"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nobody: unknown; there are floor, streamtasks" in done.stderr


@pytest.mark.slow
def test_a_quick_comparison_with_the_floor(tmp_path: Path) -> None:
    words = ["--only", "floor,streamtasks", "--quick", "--tasks", "500", "--out", str(tmp_path)]
    done = subprocess.run([*COMMAND, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "compare.json").read_text("utf-8"))
    assert run["failures"] == {}
    [only] = run["rounds"]
    assert only["order"] == ["floor", "streamtasks"]
    for name in only["order"]:
        figures = run["summary"][name]
        assert all(figure["median"] >= 0 for figure in figures.values()), figures
        assert figures["drain_2"]["x_floor"]["median"] > 0
        assert only["systems"][name]["drain_1"]["tasks"] == 500
        assert only["systems"][name]["drain_2"]["results_read"] >= 50
    assert run["summary"]["floor"]["drain_1"]["x_floor"]["median"] == 1
    assert {"before", "after"} == set(run["noise"])
    assert run["noise"]["before"]["loop_ms"]["median"] > 0
    table = (tmp_path / "compare.md").read_text("utf-8")
    assert table in done.stdout
    assert table.count("| streamtasks | ") == 3
    for theme in ("light", "dark"):
        ET.parse(tmp_path / f"compare-{theme}.svg")
