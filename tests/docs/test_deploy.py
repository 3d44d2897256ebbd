"""Do what docs/deploy.md says: its commands, and the changes with work queued."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamtasks import ConfigurationError, StreamTasks
from tests.docs.test_pages import page_block
from tests.docs.test_readme import README, environment, run, running
from tests.support.compose import load
from tests.support.dockerfile import stages
from tests.support.example_project import example_project
from tests.support.waiting import wait_until

__all__ = ["example_project"]

ROOT = README.parent
TEXT = (ROOT / "docs" / "deploy.md").read_text("utf-8")
COMMANDS = [
    line.strip().removeprefix("$ ")
    for block in re.findall(r"^ *```console\n(.*?)^ *```$", TEXT, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
SETTINGS = "mysite.settings"
RUN_HERE = (
    "chmod",
    "openssl",
    "streamtasks doctor",
    "streamtasks health",
    "streamtasks schedules",
    "python manage.py",
    "python benchmarks",
)
CHECKED = ("docker compose", "sudo", "kubectl")
"""Commands that need an engine, a machine or a cluster: what they name is checked; tests in tests/deploy run it."""


def commands(begin: str) -> list[str]:
    """Return the commands of the page that begin so."""
    return [command for command in COMMANDS if command.startswith(begin)]


def test_every_command_is_tried() -> None:
    assert [command for command in COMMANDS if not command.startswith((*RUN_HERE, *CHECKED))] == []
    assert all(commands(begin) for begin in (*RUN_HERE, *CHECKED))


def test_the_password(tmp_path: Path) -> None:
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
    path = tmp_path / load()["secrets"]["redis_password"]["file"]
    path.parent.mkdir(parents=True)
    for command in (*commands("chmod"), *commands("openssl")):
        subprocess.run(["sh", "-ec", command], cwd=tmp_path, check=True, timeout=60)
    assert re.fullmatch(r"[0-9a-f]{64}\n", path.read_text())
    assert path.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("command", commands("docker compose"))
def test_compose(command: str) -> None:
    services = load()["services"]
    words = shlex.split(command)
    profile = words[words.index("--profile") + 1] if "--profile" in words else ""
    named = [word for word in words[words.index("up") + 1 :] if not word.startswith("-")]
    if profile == "monitoring":  # tests/deploy/test_monitoring.py starts one
        assert named == ["prometheus"]
        assert services["prometheus"]["ports"] == ["127.0.0.1:9090:9090"]
        return
    # What tests/deploy/test_compose.py starts, with what these depend on.
    assert named == ([f"{profile}-worker", f"{profile}-web"] if profile else [])
    assert all(services[name]["profiles"] == [profile] for name in named)
    port = re.search(rf"^\| {f'`{profile}`' if profile else 'none'} \|.* port (\d+) \|$", TEXT, re.MULTILINE)
    assert port
    assert services[f"{profile}-web" if profile else "web"]["ports"] == [f"127.0.0.1:{port[1]}:8000"]


def test_the_page_names_every_profile() -> None:
    profiles = {profile for service in load()["services"].values() for profile in service.get("profiles", ())}
    assert {re.findall(r"--profile (\w+)", command)[0] for command in commands("docker compose --profile")} == profiles


def test_an_image_of_ones_own_has_the_same_base() -> None:
    [block] = re.findall(r"^```dockerfile\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert {line.split()[1] for line in block.splitlines() if line.startswith("FROM")} == {
        stage[0].text.split()[0] for stage in stages()
    }
    assert block.splitlines()[-1] == 'CMD ["streamtasks-worker", "--settings", "mysite.settings"]'


def test_systemd() -> None:
    copy, reload, enable = [command.split() for command in commands("sudo")]
    assert (copy[1], reload[1:], enable[1:4]) == (
        "cp",
        ["systemctl", "daemon-reload"],
        ["systemctl", "enable", "--now"],
    )
    assert (ROOT / copy[2]).name == f"{enable[4]}.service"
    assert (ROOT / copy[2]).exists()


def test_kubernetes(tmp_path: Path) -> None:
    create, apply, status = commands("kubectl")
    deployment: Any = next(yaml.safe_load_all((ROOT / apply.split()[-1]).read_text("utf-8")))
    assert status.split()[-1] == f"deployment/{deployment['metadata']['name']}"
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    [wanted] = [one["valueFrom"]["secretKeyRef"] for one in container["env"] if "valueFrom" in one]
    words = create.split()
    assert words[4] == wanted["name"]
    key, _, file = words[5].removeprefix("--from-file=").partition("=")
    assert key == wanted["key"]
    if shutil.which("kubectl"):
        (tmp_path / file).write_text("redis://redis/0")
        done = subprocess.run(
            [*words, "--dry-run=client", "--output=yaml"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert yaml.safe_load(done.stdout)["data"].keys() == {wanted["key"]}


@pytest.mark.slow
def test_the_probe(example_project: Path) -> None:
    [command] = commands("streamtasks health")
    with running(example_project, f"streamtasks-worker --settings {SETTINGS}"):
        printed = wait_until(lambda: probe(example_project, command), "the probe answers")
    assert re.fullmatch(r"default: \S+, last sign of life [\d.]+ s ago\n", printed)


def probe(project: Path, command: str) -> str:
    """Return what a probe prints if it is content, else nothing."""
    done = subprocess.run(
        command.split(), cwd=project, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout if done.returncode == 0 else ""


@pytest.mark.slow
def test_the_doctor(example_project: Path) -> None:
    [command] = commands("streamtasks doctor")
    assert "noeviction" in run(example_project, *command.split())


@pytest.mark.slow
def test_sizing() -> None:
    [command] = commands("python benchmarks/sizing.py")
    command = command.replace("20000", "400").replace("--rounds 4", "--rounds 1")
    printed = run(ROOT, sys.executable, *command.split()[1:])
    assert re.search(r"^\| claim, run, store the result \| [\d.,]+ us \|", printed, re.MULTILINE)
    assert re.search(r"^\| 100 \| [\d,]+ \| [\d,]+ \|$", printed, re.MULTILINE)


OLD = """
TASK_SCHEDULE = {"nightly": {"task": "shop.tasks.send_confirmation", "schedule": 0.2, "args": [1]}}
"""
ENQUEUE = """
from shop.tasks import send_confirmation

print(send_confirmation.delay(7).id)
print(send_confirmation.apply_async(args=[8], countdown=3).id)
"""
READ = """
import sys
from django.tasks import task_backends

for one in {ids}:
    print(task_backends["old"].get_result(one).return_value)
"""


class TestPrefix:
    """The steps of the page, on the example project."""

    @pytest.fixture
    def project(self, example_project: Path) -> Path:
        settings = example_project / "mysite" / "settings.py"
        settings.write_text(settings.read_text() + OLD)
        return example_project

    def python(self, project: Path, code: str) -> list[str]:
        return run(project, sys.executable, "manage.py", "shell", "-v0", "-c", code).splitlines()

    def totals(self, url: str, prefix: str) -> int:
        done = StreamTasks(url, key_prefix=prefix).store.statistics().outcomes
        return done.get("SUCCESS", 0)

    @pytest.mark.slow
    def test_the_old_one_is_drained(self, project: Path, embedded_url: str) -> None:
        worker = f"streamtasks-worker --settings {SETTINGS} --concurrency 1"
        with running(project, worker):
            wait_until(lambda: self.totals(embedded_url, "streamtasks:") > 1, "the schedule fires in the old prefix")
            [pause] = commands("streamtasks schedules")
            run(project, *pause.split())
            store = StreamTasks(embedded_url).store
            wait_until(lambda: store.statistics().unfinished == 0, "what was fired before is done")
        ids = self.python(project, ENQUEUE)  # nobody serves them now
        before = self.totals(embedded_url, "streamtasks:")

        settings = project / "mysite" / "settings.py"
        settings.write_text(settings.read_text() + page_block("deploy.md", "mysite/settings.py: two prefixes"))
        new = self.python(project, ENQUEUE)
        [pending] = commands("python manage.py shell")
        count = shlex.split(pending)
        assert count[:4] == ["python", "manage.py", "shell", "-c"]
        assert self.python(project, count[4]) == ["2"]
        with running(project, worker):
            wait_until(lambda: self.python(project, count[4]) == ["0"], "the old prefix is drained", every_s=0.5)
            wait_until(lambda: self.totals(embedded_url, "mysite:") > len(new) + 1, "the schedule fires in the new one")
        assert self.python(project, READ.format(ids=ids)) == ["order 7 is confirmed", "order 8 is confirmed"]
        # The paused schedule has not fired: the two that were enqueued, and what it had enqueued before.
        assert self.totals(embedded_url, "streamtasks:") == before + len(ids)

    @pytest.mark.slow
    def test_a_renamed_alias_keeps_the_prefix_that_it_is_given(self, project: Path, embedded_url: str) -> None:
        settings = project / "mysite" / "settings.py"
        mails = 'TASKS["mails"] = {**TASKS["default"], "OPTIONS": {**TASKS["default"]["OPTIONS"]}}\n'
        settings.write_text(settings.read_text().replace(OLD, "") + mails)
        ids = self.python(project, ENQUEUE.replace("send_confirmation.", 'send_confirmation.using(backend="mails").'))
        renamed = 'TASKS["old"] = TASKS.pop("mails")\nTASKS["old"]["OPTIONS"]["key_prefix"] = "streamtasks:mails:"\n'
        settings.write_text(settings.read_text() + renamed)
        with running(project, f"streamtasks-worker --settings {SETTINGS} --concurrency 1"):
            wait_until(lambda: self.totals(embedded_url, "streamtasks:mails:") == len(ids), "what was queued is run")
        assert self.python(project, READ.format(ids=ids)) == ["order 7 is confirmed", "order 8 is confirmed"]


GROWN = """
from streamtasks import StreamTasks

app = StreamTasks({url!r}, key_prefix="grown:", tags=["a", "b", "c"])


@app.task(name="add")
def add(a, b):
    return a + b
"""


@pytest.mark.slow
def test_shards_grow_at_the_end(tmp_path: Path, embedded_url: str) -> None:
    def app(*tags: str) -> Any:
        return StreamTasks(embedded_url, key_prefix="grown:", tags=tags).task(name="add")(lambda: None)

    before = [app("a", "b").delay(number, 1) for number in range(10)]
    with pytest.raises(ConfigurationError, match=r"a.*b"):
        app("b", "c").delay(1, 2)
    (tmp_path / "grown.py").write_text(GROWN.format(url=embedded_url))
    with running(tmp_path, "streamtasks-worker --app grown:app --concurrency 1"):
        grown = app("a", "b", "c")
        after = [grown.delay(number, 2) for number in range(30)]
        assert [result.get(timeout=60) for result in before] == list(range(1, 11))
        assert [result.get(timeout=60) for result in after] == list(range(2, 32))
    assert {result.id.rpartition("-")[2] for result in after} == {"a", "b", "c"}
