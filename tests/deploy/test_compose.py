"""docker-compose.yml: its form, and each of its command lines run on this machine until a task has run."""

from __future__ import annotations

import json
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from importlib import import_module, resources
from pathlib import Path
from typing import Any

import pytest

from tests.support.compose import ROOT, Compose, duration_s, load
from tests.support.server_programs import find_redis_cli
from tests.support.waiting import wait_until

FILE = load()
SERVICES: dict[str, Any] = FILE["services"]
APPS = ("worker", "web")
PROFILES = ("", "valkey-", "sentinel-", "cluster-")


@pytest.fixture
def compose(tmp_path: Path) -> Iterator[Compose]:
    with Compose(tmp_path) as started:
        yield started


class TestForm:
    def test_the_schema_of_compose_files_accepts_it(self) -> None:
        jsonschema: Any = import_module("jsonschema")  # check-jsonschema brings it, and the schema
        vendored = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
        schema = json.loads(vendored.read_text("utf-8"))
        errors = jsonschema.Draft7Validator(schema).iter_errors(FILE)
        assert [f"{list(error.path)}: {error.message}" for error in errors] == []

    @pytest.mark.parametrize("name", SERVICES)
    def test_dependencies_are_services_of_the_same_profile(self, name: str) -> None:
        profiles = set(SERVICES[name].get("profiles", ()))
        for other, how in SERVICES[name].get("depends_on", {}).items():
            assert how["condition"] == "service_healthy"
            assert set(SERVICES[other].get("profiles", ())) <= profiles

    @pytest.mark.parametrize("name", SERVICES)
    def test_a_service_is_pinned_confined_and_checked(self, name: str) -> None:
        service = SERVICES[name]
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+(-alpine)?", service["image"])
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not {"privileged", "cap_add", "network_mode", "pid"} & service.keys()
        assert "user" in service or service["build"] == "."
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
        assert {"interval", "timeout", "retries"} <= service["healthcheck"].keys()

    def test_volumes_and_secrets_are_declared_and_used(self) -> None:
        used = {one.split(":")[0] for service in SERVICES.values() for one in service.get("volumes", ())}
        assert used == FILE["volumes"].keys()
        assert {one for service in SERVICES.values() for one in service.get("secrets", ())} == FILE["secrets"].keys()
        path = ROOT / FILE["secrets"]["redis_password"]["file"]
        assert not path.exists() or path.stat().st_size
        assert (path.parent / ".gitignore").read_text().splitlines()[0] == "*"

    def test_ports_are_published_on_the_loopback_and_once(self) -> None:
        published = [port for service in SERVICES.values() for port in service.get("ports", ())]
        assert all(port.startswith("127.0.0.1:") for port in published)
        assert (
            len({port.split(":")[1] for port in published}) == len(published) == len(PROFILES) + 1
        )  # and that of Prometheus

    @pytest.mark.parametrize("profile", PROFILES)
    def test_a_worker_is_killed_after_its_grace_period_only(self, profile: str) -> None:
        service = SERVICES[f"{profile}worker"]
        grace_s = float(service["command"][service["command"].index("--grace") + 1])
        assert duration_s(service["stop_grace_period"]) >= grace_s + 10

    def test_servers_keep_what_they_have_and_evict_nothing(self) -> None:
        for name, service in SERVICES.items():
            text = re.sub(r"\s--", "\n", " ".join(service["command"]))
            if re.search(r"^port 6379", text, re.MULTILINE):
                for line in ("appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction"):
                    assert re.search(rf"^{line}\b", text, re.MULTILINE), (name, line)
                assert any(volume.endswith(":/data") for volume in service["volumes"])


class Browser:
    """A visitor of the example site."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/"
        self._cookies = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))

    def get(self, path: str) -> bytes:
        """Return a page."""
        with self._opener.open(self._base + path, timeout=60) as answer:
            return bytes(answer.read())

    def enqueue(self, kind: str, number: int) -> str:
        """Press a button; return the ids of the tasks."""
        [token] = [cookie.value for cookie in self._cookies]
        data = urllib.parse.urlencode({"kind": kind, "number": number, "csrfmiddlewaretoken": token}).encode()
        with self._opener.open(self._base + "enqueue/", data, timeout=60) as answer:
            return ",".join(task["id"] for task in json.load(answer)["tasks"])

    def statuses(self, ids: str) -> set[str]:
        """Return the states of tasks."""
        return {task["state"] for task in json.loads(self.get(f"tasks/?ids={ids}"))["tasks"]}


@pytest.mark.slow
@pytest.mark.parametrize("profile", PROFILES)
def test_every_command_line_until_tasks_have_run(profile: str, compose: Compose) -> None:
    if profile == "cluster-" and find_redis_cli() is None:
        pytest.skip("needs redis-cli, which joins the nodes")
    worker, web = (profile + name for name in APPS)
    compose.up(worker, web)
    browser = Browser(compose.port(web))
    page = browser.get("").decode()
    for path in re.findall(r'(?:src|href)="/(static/[^"]+)"', page):
        assert browser.get(path)
    ids = browser.enqueue("quick", 5)
    wait_until(lambda: browser.statuses(ids) == {"successful"}, lambda: f"tasks run: {browser.statuses(ids)}")
    wanted = {name for name, service in SERVICES.items() if service.get("profiles", []) == [profile[:-1]]}
    assert set(compose.started) == (wanted or {"redis", "worker", "web"})
    for name in reversed(compose.started):
        status, took_s = compose.stop(name)
        assert status == 0, (name, compose.log(name))
        assert took_s < duration_s(SERVICES[name]["stop_grace_period"])
    assert "a-word-that-is-a-secret" not in "".join(map(compose.log, compose.started))
