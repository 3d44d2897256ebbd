"""The command lines in docs/operations.md run as they stand there, and print what is shown."""

from __future__ import annotations

import re
import shlex
import sys
from typing import TYPE_CHECKING

from click.testing import CliRunner

from streamtasks_workers.cli.main import streamtasks_command
from tests.docs.operations_example import prepare
from tests.docs.test_readme import README

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PAGE = (README.parent / "docs" / "operations.md").read_text("utf-8")
ENVIRONMENT = {"STREAMTASKS_WORKER_APP": "shop:app", "STREAMTASKS_ACTOR": "ann"}


def commands() -> list[tuple[str, str]]:
    """Return each command line with the lines that are shown below it."""
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    found = [re.split(r"^\$ ", block, flags=re.MULTILINE)[1:] for block in blocks]
    pairs = [text.partition("\n")[::2] for block in found for text in block]
    return [(line, shown) for line, shown in pairs if line.startswith("streamtasks ")]


def without_numbers(text: str) -> list[str]:
    """Return the words of each line without what differs: times, durations, ids, the file and marks of a traceback."""
    text = re.sub(r'File ".*"', "File", re.sub(r"[0-9a-f]{32}", "#", text))
    text = re.sub(r"\b\d{4}-\d\d-\d\dT[\d:.]+Z", "#", text)
    text = re.sub(r"\b\d+ ms\b|\b\d+[dhms]\b( \d+[dhms]\b)?", "#", text)
    found = [" ".join(re.sub(r"\d+(\.\d+)?|^-$", "#", word) for word in line.split()) for line in text.splitlines()]
    return [line for line in found if line.strip("~^ ")]


def test_every_command_line_prints_what_is_shown(
    server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(server_url, tmp_path, ahead_ms=3_600_000)  # it lives however slow this is
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    for line, shown in commands():
        found = CliRunner(env=ENVIRONMENT).invoke(streamtasks_command, shlex.split(line)[1:])
        assert found.exit_code == 0, (line, found.output)
        output = found.output.replace(server_url, "redis://redis.example:6379/0")
        assert without_numbers(output) == without_numbers(shown), line
