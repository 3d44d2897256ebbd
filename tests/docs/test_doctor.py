"""The example in docs/doctor.md is what the command prints, but for numbers."""

from __future__ import annotations

import json
import re
from typing import Any

from click.testing import CliRunner

from streamtasks.operations.doctor import CHECKS
from streamtasks_workers.cli.doctor import doctor_command
from tests.docs.doctor_example import prepared
from tests.docs.test_readme import README

PAGE = (README.parent / "docs" / "doctor.md").read_text("utf-8")


def without_numbers(text: str) -> list[str]:
    return [re.sub(r"\d+(\.\d+)?", "#", line.rstrip()) for line in text.strip().splitlines()]


def shown(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_is_the_output_of_the_command() -> None:
    with prepared() as url:
        found = CliRunner(env={"COLUMNS": "110"}).invoke(doctor_command, [url, "--quiet"])
    assert found.exit_code == 2
    assert without_numbers(found.output) == without_numbers(shown("text"))


def test_the_json_has_the_shape_that_is_shown() -> None:
    with prepared() as url:
        printed: Any = json.loads(CliRunner().invoke(doctor_command, [url, "--json"]).output)
    example: Any = json.loads(shown("json"))
    assert set(printed) == set(example)
    [app], [told] = printed["apps"], example["apps"]
    assert set(app) == set(told)
    [eviction] = [finding for finding in app["findings"] if finding["check"] == "eviction"]
    assert eviction | {"where": ""} == told["findings"][0] | {"where": ""}


def test_every_check_stands_in_the_table() -> None:
    assert [check for check in CHECKS if f"`{check}`" not in PAGE] == []
