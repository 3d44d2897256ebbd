"""The manifests: their times fit, what they name is there, and their commands run."""

from __future__ import annotations

import json
import shlex
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from streamtasks.operations.scale import Scale
from tests.docs.test_readme import running
from tests.support.example_project import run_a_task
from tests.support.ports import free_port
from tests.support.waiting import wait_until

MANIFESTS = sorted((Path(__file__).parent.parent.parent / "deploy" / "kubernetes").glob("*.yaml"))
OBJECTS: list[Any] = [one for path in MANIFESTS for one in yaml.safe_load_all(path.read_text("utf-8"))]
BY_KIND = {one["kind"]: one for one in OBJECTS}
DEPLOYMENT, BUDGET = BY_KIND["Deployment"], BY_KIND["PodDisruptionBudget"]
SERVICE, SCALED = BY_KIND["Service"], BY_KIND["ScaledObject"]["spec"]
[TRIGGER] = SCALED["triggers"]
POD = DEPLOYMENT["spec"]["template"]["spec"]
[CONTAINER] = POD["containers"]


def test_a_worker_is_killed_after_its_grace_period_only() -> None:
    command = CONTAINER["command"]
    grace_s = float(command[command.index("--grace") + 1])
    assert POD["terminationGracePeriodSeconds"] >= grace_s + 10
    assert "lifecycle" not in CONTAINER


def test_the_pod_has_no_rights() -> None:
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["runAsUser"] >= 10_000
    context = CONTAINER["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert POD["automountServiceAccountToken"] is False
    mounted = {mount["name"] for mount in CONTAINER["volumeMounts"]}
    assert mounted == {volume["name"] for volume in POD["volumes"]}
    assert not CONTAINER["image"].endswith(":latest")
    assert ":" in CONTAINER["image"]


def test_selectors_select_the_pods_and_some_may_be_evicted() -> None:
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == labels == BUDGET["spec"]["selector"]["matchLabels"]
    assert BUDGET["spec"]["minAvailable"] < DEPLOYMENT["spec"]["replicas"]
    assert SERVICE["spec"]["selector"] == labels
    assert BUDGET["spec"]["minAvailable"] < SCALED["minReplicaCount"] <= SCALED["maxReplicaCount"]


def test_the_autoscaler_asks_what_workers_answer() -> None:
    assert SCALED["scaleTargetRef"]["name"] == DEPLOYMENT["metadata"]["name"]
    url = urlsplit(TRIGGER["metadata"]["url"])
    [port] = SERVICE["spec"]["ports"]
    assert (url.hostname, url.port) == (SERVICE["metadata"]["name"], port["port"])
    assert port["targetPort"] in {one["name"] for one in CONTAINER["ports"]}
    assert TRIGGER["type"] == "metrics-api"
    assert TRIGGER["metadata"]["valueLocation"] in Scale._fields


def test_no_probe_restarts_a_worker_because_its_server_is_away() -> None:
    """``/healthz`` stays as it is then, see tests/workers/test_worker_health.py."""
    assert "startupProbe" not in CONTAINER
    assert CONTAINER["livenessProbe"]["httpGet"]["path"] == "/healthz"
    for probe in (CONTAINER["readinessProbe"], CONTAINER["livenessProbe"]):
        assert probe["timeoutSeconds"] < probe["periodSeconds"]
        assert probe["httpGet"]["port"] in {port["name"] for port in CONTAINER["ports"]}


@pytest.mark.slow
def test_the_commands_run(example_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in CONTAINER["env"]:
        if "value" in variable:
            monkeypatch.setenv(variable["name"], variable["value"])
    port = free_port()
    monkeypatch.setenv("STREAMTASKS_WORKER_METRICS_PORT", str(port))

    def succeeds(probe: str) -> bool:
        path = CONTAINER[probe]["httpGet"]["path"]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    assert not succeeds("readinessProbe")
    with running(example_project, shlex.join(CONTAINER["command"])):
        run_a_task(example_project)
        wait_until(lambda: succeeds("readinessProbe"), "the probe finds the worker ready")
        assert succeeds("livenessProbe")
        asked = urlsplit(TRIGGER["metadata"]["url"])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{asked.path}?{asked.query}", timeout=60) as answer:
            found = json.load(answer)
        assert (found["queue"], found["workers"], found["slots"]) == ("default", 1, 2)
        assert isinstance(found[TRIGGER["metadata"]["valueLocation"]], int)
    assert not succeeds("readinessProbe")
