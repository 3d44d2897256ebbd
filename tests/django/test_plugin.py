"""What a worker finds in a project: its backends, its tasks, and clear words where they are missing."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from contract.app import tasks
from contract.notes import NoteMiddleware
from contract.options import tasks_setting
from streamtasks import Attempt, ConfigurationError, Message
from streamtasks_django import plugin
from streamtasks_django.tasks.registry import find_task, known_task
from streamtasks_django.worker.databases import Databases
from streamtasks_django.worker.signals import Signals
from tests.support.django_site import environment, manage

if TYPE_CHECKING:
    from pathlib import Path

TASKS = {
    **tasks_setting(),
    "dummy": {"BACKEND": "streamtasks_django.backends.dummy.DummyBackend"},
    "broken": {"BACKEND": "no.such.Backend"},
}


@pytest.fixture(autouse=True)
def _project() -> Any:
    with override_settings(TASKS=TASKS):
        yield


def test_every_backend_of_ours_is_served_or_those_that_are_named() -> None:
    assert [app.label for app in plugin.load(None, [])] == ["default", "strict"]
    [app] = plugin.load(None, ["strict"])
    assert app.label == "strict"
    assert app.settings.key_prefix == "contract:strict:"


@pytest.mark.parametrize(
    ("alias", "words"),
    [
        ("nothing", "no alias 'nothing'.*default \\(RedisBackend\\)"),
        ("dummy", "is a DummyBackend, whose tasks do not need a worker"),
        ("broken", "no.such"),
    ],
)
def test_an_alias_that_cannot_be_served_is_named(alias: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        plugin.load(None, [alias])


def test_a_project_without_our_backends_is_told_so() -> None:
    with override_settings(TASKS={"default": TASKS["dummy"]}), pytest.raises(ConfigurationError, match="DummyBackend"):
        plugin.load(None, [])


def test_a_wrong_option_is_found_before_the_worker_starts() -> None:
    wrong = tasks_setting()
    wrong["default"]["OPTIONS"]["lease"] = -1
    with override_settings(TASKS=wrong), pytest.raises(ConfigurationError, match="lease"):
        plugin.load(None, [])


def test_a_failed_clean_up_is_told_by_its_exit_status() -> None:
    done = manage("streamtasks_cleanup", "--backend", "missing")
    assert (done.returncode, "Failed to clean up task results" in done.stdout) == (1, True)


def test_modules_that_cannot_be_imported_are_named() -> None:
    with override_settings(TASK_IMPORTS=["no.such.module"]), pytest.raises(ConfigurationError, match=r"no\.such"):
        plugin.load(None, [])
    with override_settings(ROOT_URLCONF="no.such.urls"):
        with pytest.raises(ConfigurationError, match="IMPORT_URLCONF"):
            plugin.load(None, [])
        with override_settings(STREAMTASKS={"IMPORT_URLCONF": False}):
            assert plugin.load(None, [])


def test_worker_options_of_the_settings_are_handed_on() -> None:
    with override_settings(STREAMTASKS={"WORKER": {"concurrency": 3, "queues": ["a"]}}):
        assert plugin.load(None, ["default"])[0].worker_defaults == {"concurrency": 3, "queues": ["a"]}


def test_middleware_of_the_project_lies_between_ours() -> None:
    [app] = plugin.load(None, ["default"])
    assert [type(m) for m in app.middleware] == [Databases, NoteMiddleware, Signals]


def test_tasks_are_found_by_their_path_and_nothing_else_is() -> None:
    [app] = plugin.load(None, ["default"])
    runnable = app.find("contract.app.tasks.aadd")
    assert runnable is not None
    assert (runnable.name, runnable.is_async, runnable.task) == ("contract.app.tasks.aadd", True, tasks.aadd)
    assert app.find("contract.app.tasks.aadd") is runnable
    for name in (
        "contract.app.tasks.plainer",
        "contract.app.tasks.ShopError",
        "contract.app.tasks.notes.leave",
        "contract.app.tasks.add.func",
        "os.system",
        "contract.app.tasks",
        "contract",
        "",
        ".",
        "..",
        "a.",
        "\ud800.x",
    ):
        assert app.find(name) is None, name
    assert find_task("contract.app.tasks.plainly") is tasks.under_another_name


def test_nothing_named_in_a_message_is_imported_or_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    module = ModuleType("lazy_module")
    vars(module)["__getattr__"] = asked.append
    monkeypatch.setitem(sys.modules, "lazy_module", module)
    assert find_task("lazy_module.task") is None
    assert known_task("lazy_module.task") is None
    assert known_task("antigravity.task") is None
    assert asked == []
    assert "antigravity" not in sys.modules


def test_a_task_runs_without_a_worker_around_it() -> None:
    [app] = plugin.load(None, ["default"])
    runnable = app.find("contract.app.tasks.context_of")
    assert runnable is not None
    message = Message(id="some-id", task=runnable.name, args=["x"])
    value = runnable.run(Attempt(message, 2, "worker-1", 1, 1, 1))
    assert (value["attempt"], value["worker_ids"]) == (2, ["unknown", "worker-1"])


@pytest.mark.slow
def test_the_management_command_passes_its_options_on() -> None:
    shown = manage("streamtasks_worker", "--help")
    assert shown.returncode == 0, shown.stderr
    assert "--exclude-queues" in shown.stdout
    wrong = manage("streamtasks_worker", "--no-such-option")
    assert wrong.returncode == 2
    assert "--no-such-option" in wrong.stderr
    with pytest.raises(CommandError, match="no-such-option"):
        call_command("streamtasks_worker", "--no-such-option")
    refused = manage("streamtasks_worker", "--backend", "nothing")
    assert refused.returncode == 2
    assert "no alias 'nothing'" in refused.stderr


def test_a_producer_opens_no_connection_and_starts_no_thread_by_being_set_up(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, threading\n"
        "import streamtasks_django\n"
        "assert 'django' not in sys.modules\n"
        "import django\n"
        "django.setup()\n"
        "from contract.app import tasks\n"
        "from django.tasks import task_backends\n"
        "tasks.add.using(priority=3)\n"
        "from streamtasks.stores.redis import pools\n"
        "assert not pools._pools\n"
        "assert threading.active_count() == 1\n"
        "assert 'streamtasks_workers' not in sys.modules\n"
        "assert 'streamtasks_django.worker.databases' not in sys.modules\n"
    )
    command = [sys.executable, str(program)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
