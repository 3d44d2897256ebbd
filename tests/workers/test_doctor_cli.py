"""``streamtasks doctor``: exit status, JSON of a stable shape, output for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner, Result

from streamtasks.operations.doctor import CHECKS
from streamtasks_workers.cli.doctor import doctor_command
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.unreachable import closed_port

APP = """
from streamtasks import StreamTasks

app = StreamTasks({url!r}, key_prefix="shop:")

@app.task(name="shop.report")
def report(*args, **kwargs): ...
"""


def run(*words: str) -> Result:
    return CliRunner().invoke(doctor_command, list(words))


def test_a_good_server() -> None:
    with EmbeddedServer(append_only=True) as server:
        found = run(server.url, "--strict")
        quiet = run(server.url, "--quiet")
    assert found.exit_code == 0, found.output
    assert f"url: redis://127.0.0.1:{server.port}/0, prefix 'streamtasks:'" in found.output
    lines = [line.split() for line in found.output.splitlines()]
    assert ["ok", "version", "Valkey"] in [line[:3] for line in lines]
    assert not any(line[:1] == ["ok"] for line in map(str.split, quiet.output.splitlines()))


def test_warnings_count_with_strict_only(embedded_url: str) -> None:
    assert [run(embedded_url).exit_code, run(embedded_url, "--strict").exit_code] == [0, 1]


def test_errors(embedded_url: str) -> None:
    with redis.Redis.from_url(embedded_url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        found = run(embedded_url)
        client.config_set("maxmemory-policy", "noeviction")
    assert found.exit_code == 2
    words = " ".join(found.output.split())
    assert "error eviction maxmemory-policy is allkeys-lru" in words
    assert "CONFIG SET maxmemory-policy noeviction" in words


def test_a_server_that_is_not_there() -> None:
    with closed_port() as url:
        found = run(url, "--json")
    assert found.exit_code == 3
    shown = json.loads(found.output)
    [app] = shown["apps"]
    assert (shown["exit_status"], app["connected"], app["findings"][0]["check"]) == (3, False, "connection")


def test_the_shape_of_the_json(embedded_url: str) -> None:
    shown = json.loads(run(embedded_url, "--json").output)
    assert set(shown) == {"format", "exit_status", "level", "apps"}
    assert shown["format"] == 1
    [app] = shown["apps"]
    assert set(app) == {"app", "address", "key_prefix", "connected", "level", "findings"}
    for finding in app["findings"]:
        assert set(finding) == {"check", "level", "where", "message", "remedy", "values"}
        assert finding["check"] in CHECKS
        assert finding["level"] in ("ok", "note", "warning", "error")


def test_an_app(embedded_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "doctor_shop.py").write_text(APP.format(url=embedded_url))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    [app] = json.loads(run("--app", "doctor_shop:app", "--json").output)["apps"]
    assert (app["app"], app["key_prefix"]) == ("doctor_shop:app", "shop:")
    monkeypatch.setenv("STREAMTASKS_WORKER_APP", "doctor_shop:app")
    assert "doctor_shop:app: redis://" in run().output


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        ((), 2, "Nothing to serve"),
        (("--app", "no_such_module:app"), 2, "no_such_module"),
        (("--app", "x:y", "--key-prefix", "z"), 2, "--key-prefix is for a URL"),
        (("redis://h:1/nothing",), 2, "the database is 'nothing'"),
    ],
)
def test_what_is_wrong_is_said(words: tuple[str, ...], status: int, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DJANGO_SETTINGS_MODULE", "STREAMTASKS_WORKER_APP", "STREAMTASKS_WORKER_SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    found = run(*words)
    assert (found.exit_code, text in found.output) == (status, True), found.output


def test_what_others_wrote_cannot_break_the_terminal(embedded_url: str) -> None:
    with redis.Redis.from_url(embedded_url) as client:
        client.set(b"streamtasks:\x1b[2J[red]x\r\n", "x")
        found: Any = run(embedded_url)
    assert "\x1b" not in found.output
    assert "[red]x" in found.output
