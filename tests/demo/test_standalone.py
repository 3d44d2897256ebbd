"""``streamtasks dashboard``: the same pages as a server of its own, for a plain app and for a Django project."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from streamtasks_django.dashboard.api.tokens import digest, new_token
from tests.support.django_site import SETTINGS, SITE
from tests.support.waiting import DEADLINE_S, wait_until

pytestmark = pytest.mark.slow

APP = """
from streamtasks import StreamTasks
app = StreamTasks({url!r}, key_prefix="standalone:")

@app.task
def add(a, b):
    return a + b
"""

PROGRAM = Path(sys.executable).with_name("streamtasks")


class Running:
    """The command as a process, and what it has printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def addresses(self) -> list[str]:
        return re.findall(r"^Dashboard (\S+)$", "".join(self.lines), re.MULTILINE)

    def address(self, number: int) -> str:
        wait_until(lambda: len(self.addresses) > number or self.process.poll() is not None, "the address is printed")
        assert len(self.addresses) > number, self.lines
        return self.addresses[number]


@contextmanager
def started(folder: Path, *arguments: str, **environment: str) -> Generator[Running]:
    known = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    process = subprocess.Popen(
        [PROGRAM, "dashboard", "--bind", "127.0.0.1:0", *arguments],
        cwd=folder,
        env=known | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Running(process)
    reader = threading.Thread(target=running.read)
    reader.start()
    try:
        yield running
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 0, running.lines
    finally:
        process.kill()
        process.wait(DEADLINE_S)
        reader.join(DEADLINE_S)
        assert process.stdout is not None
        process.stdout.close()
    assert "Traceback" not in "".join(running.lines)


def test_a_plain_app(tmp_path: Path, embedded_url: str) -> None:
    (tmp_path / "standalone_shop.py").write_text(APP.format(url=embedded_url))
    token = new_token()
    (tmp_path / "tokens.json").write_text(json.dumps({"cron": {"sha256": digest(token), "roles": ["view"]}}))
    with started(tmp_path, "--app", "standalone_shop:app", "--tokens", "tokens.json") as running:
        address = running.address(0)
        top = address.partition("/enter/")[0]
        assert requests.get(top, timeout=60).status_code == 401
        browser = requests.Session()
        entered = browser.get(address, timeout=60)
        assert entered.status_code == 200
        assert {"httponly", "samesite=strict"} <= set(entered.headers["Set-Cookie"].lower().split("; "))
        assert requests.get(address, timeout=60).status_code == 403, "an address is used up"
        assert running.address(1) != address
        page = browser.get(top, timeout=60)
        assert page.status_code == 200
        assert "All is well" in page.text
        for name in re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text):
            assert browser.get(top + name, timeout=60).status_code == 200, name
        assert browser.get(top, headers={"Host": "evil.example"}, timeout=60).status_code == 400
        form = {"queue": "default", "reason": "a look"}
        pause = f"{top}/default/queues/pause/"
        assert browser.post(pause, form, timeout=60).status_code == 403, "without a CSRF token"
        browser.get(f"{top}/default/queues/", timeout=60)
        [csrf] = [one.value for one in browser.cookies if one.name.startswith("streamtasks_csrf_")]
        paused = browser.post(pause, form | {"csrfmiddlewaretoken": csrf or ""}, timeout=60)
        assert paused.status_code == 200, paused.text
        assert "a look" in browser.get(f"{top}/default/audit/", timeout=60).text
        program = {"Authorization": f"Bearer {token}"}
        found = requests.get(f"{top}/api/v1/default/queues", headers=program, timeout=60)
        assert [one["queue"] for one in found.json()["items"]] == ["default"]
        assert requests.get(f"{top}/default/queues/", headers=program, timeout=60).status_code == 403, "a page"


def test_a_django_project_to_read_only(tmp_path: Path, embedded_url: str) -> None:
    environment = {"PYTHONPATH": os.pathsep.join([str(SITE), *filter(None, sys.path)]), "CONTRACT_URL": embedded_url}
    with started(tmp_path, "--settings", SETTINGS, "--read-only", **environment) as running:
        address = running.address(0)
        top = address.partition("/enter/")[0]
        browser = requests.Session()
        assert browser.get(address, timeout=60).status_code == 200
        backends = browser.get(f"{top}/api/v1/backends", timeout=60)
        assert "default" in backends.json()["aliases"]
        refused = browser.post(f"{top}/default/queues/pause/", {"queue": "default", "reason": "x"}, timeout=60)
        assert refused.status_code == 403


def test_browsers_come_in_by_tokens_with_roles_of_their_own(tmp_path: Path, embedded_url: str) -> None:
    (tmp_path / "token_shop.py").write_text(APP.format(url=embedded_url))
    tokens = {name: new_token() for name in ("looks", "steers")}
    rights = {"looks": ["view"], "steers": ["view", "operate", "administer"]}
    kept = {name: {"sha256": digest(tokens[name]), "roles": rights[name]} for name in tokens}
    (tmp_path / "tokens.json").write_text(json.dumps(kept))
    with started(tmp_path, "--app", "token_shop:app", "--token-file", "tokens.json") as running:
        address = running.address(0)
        assert address.endswith("/enter/")
        top = address.removesuffix("/enter/")
        assert "Token" in requests.get(top, timeout=60).text
        assert requests.post(address, {"token": "sttk_guess"}, timeout=60).status_code == 403
        stolen = {"Origin": "https://evil.example"}
        assert requests.post(address, {"token": tokens["steers"]}, headers=stolen, timeout=60).status_code == 403

        def pause(name: str) -> int:
            browser = requests.Session()
            assert browser.post(address, {"token": tokens[name]}, timeout=60).status_code == 200
            assert browser.get(f"{top}/default/queues/", timeout=60).status_code == 200
            [csrf] = [one.value for one in browser.cookies if one.name.startswith("streamtasks_csrf_")] or [""]
            form = {"queue": "default", "reason": "a look", "csrfmiddlewaretoken": csrf or ""}
            return browser.post(f"{top}/default/queues/pause/", form, timeout=60).status_code

        assert pause("looks") == 403
        browser = requests.Session()
        browser.post(address, {"token": tokens["steers"]}, timeout=60)
        assert pause("steers") == 200
        assert "token:steers" in browser.get(f"{top}/default/audit/", timeout=60).text
        del kept["steers"]
        (tmp_path / "tokens.json").write_text(json.dumps(kept))
        assert browser.get(f"{top}/default/", timeout=60).status_code == 401, "what is taken out is revoked at once"


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    for arguments, text in (
        (["--bind", "0.0.0.0:0", "--app", "x"], "name with --host"),
        (["--bind", "nowhere"], "is not HOST:PORT"),
        (["--bind", "127.0.0.1:0"], "Nothing to show"),
    ):
        done = subprocess.run(
            [PROGRAM, "dashboard", *arguments],
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2, done
        assert text in done.stderr
