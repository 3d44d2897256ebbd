"""``streamtasks health``: what a probe of a worker's container asks."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streamtasks import StoreSettings
from streamtasks.stores.factory import open_supervisor_store
from streamtasks_workers.cli.health import health_command
from tests.support.servers import silence
from tests.support.unreachable import closed_port

APP = """
from streamtasks import StreamTasks

app = StreamTasks({url!r}, timeout_s=0.5)
"""
HERE = socket.gethostname()


@pytest.fixture
def ask(embedded_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def call(*words: str, url: str = embedded_url) -> Result:
        monkeypatch.delitem(__import__("sys").modules, "health_shop", raising=False)
        (tmp_path / "health_shop.py").write_text(APP.format(url=url))
        return CliRunner().invoke(health_command, ["--app", "health_shop:app", *words])

    return call


@pytest.fixture
def beat(embedded_url: str) -> Callable[..., None]:
    """Register a worker, as its keeper does."""

    async def send(worker: str, about: dict[str, str]) -> None:
        await open_supervisor_store(StoreSettings(url=embedded_url)).beat("u0", worker, about)

    return lambda worker="w", **about: asyncio.run(send(worker, {"host": HERE, "app": "health_shop:app"} | about))


def test_a_worker_of_this_host(ask: Callable[..., Result], beat: Callable[..., None]) -> None:
    beat()
    answer = ask()
    assert answer.exit_code == 0
    assert re.fullmatch(r"health_shop:app: w, last sign of life 0\.\d s ago\n", answer.stdout), answer.stdout


def test_none(ask: Callable[..., Result]) -> None:
    answer = ask()
    assert (answer.exit_code, answer.stdout) == (1, "")
    assert answer.stderr == f"health_shop:app: no worker of {HERE} is registered\n"


@pytest.mark.parametrize("about", [{"host": "another"}, {"app": "another:app"}], ids=["host", "app"])
def test_a_worker_of_something_else(
    about: dict[str, str], ask: Callable[..., Result], beat: Callable[..., None]
) -> None:
    beat(**about)
    assert ask().exit_code == 1


def test_a_silent_worker_and_one_that_replaced_it(
    ask: Callable[..., Result], beat: Callable[..., None], embedded_url: str
) -> None:
    beat("old")
    silence(StoreSettings(url=embedded_url), "old", 20_000)
    answer = ask()
    assert answer.exit_code == 1
    assert "old, last sign of life 20." in answer.stderr
    assert ask("--within", "60").exit_code == 0
    beat("new")
    assert ask().exit_code == 0


def test_json(ask: Callable[..., Result], beat: Callable[..., None], embedded_url: str) -> None:
    none = {"app": "health_shop:app", "host": HERE, "is_well": False, "worker": None, "silent_ms": None}
    answer = ask("--json")
    assert (answer.exit_code, json.loads(answer.stdout)) == (1, [none])
    beat()
    silence(StoreSettings(url=embedded_url), "w", 20_000)
    for words, status in ((["--json"], 1), (["--json", "--within", "60"], 0)):
        answer = ask(*words)
        [one] = json.loads(answer.stdout)
        assert (answer.exit_code, one["worker"], one["is_well"]) == (status, "w", status == 0)
        assert 20_000 <= one["silent_ms"] < 60_000


def test_no_server(ask: Callable[..., Result]) -> None:
    with closed_port() as url:
        answer = ask(url=url)
    assert answer.exit_code == 1
    assert answer.stderr.startswith("streamtasks health: ")


def test_wrong_setup(ask: Callable[..., Result]) -> None:
    assert CliRunner().invoke(health_command, ["--app", "no_such_module:app"]).exit_code == 2
