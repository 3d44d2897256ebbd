"""What a worker finds when it starts: processors, modules, locks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from streamtasks.exceptions import ConfigurationError
from streamtasks_workers.app_loader import load
from streamtasks_workers.process import cores
from streamtasks_workers.process.options import WorkerOptions
from streamtasks_workers.supervisor import worker


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of control groups on a machine of 64 processors."""
    root, own = tmp_path / "cgroup", tmp_path / "own"
    root.mkdir()
    own.write_text("0::/pod/container\n")
    monkeypatch.setattr(cores, "_CGROUPS", root)
    monkeypatch.setattr(cores, "_OWN_CGROUP", own)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    return root


class TestUsableCores:
    def test_without_quotas_affinity_counts(self, cgroup: Path) -> None:
        assert cores.usable_cores() == 64

    @pytest.mark.parametrize(
        ("quota", "usable"),
        [("max 100000", 64), ("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("odd", 64), ("1 0", 64)],
    )
    @pytest.mark.parametrize("place", ["pod/container", "pod", "."])
    def test_the_quota_of_the_group_or_of_one_above(self, cgroup: Path, place: str, quota: str, usable: int) -> None:
        (cgroup / "pod/container").mkdir(parents=True)
        (cgroup / place / "cpu.max").write_text(quota)
        assert cores.usable_cores() == usable

    def test_the_smallest_one_counts(self, cgroup: Path) -> None:
        (cgroup / "pod/container").mkdir(parents=True)
        (cgroup / "pod/container/cpu.max").write_text("800000 100000")
        (cgroup / "pod/cpu.max").write_text("300000 100000")
        assert cores.usable_cores() == 3

    def test_the_path_of_the_host_is_not_there_in_a_container(self, cgroup: Path) -> None:
        (cgroup / "cpu.max").write_text("400000 100000")
        assert cores.usable_cores() == 4

    @pytest.mark.parametrize(("quota", "usable"), [("250000", 3), ("-1", 64)])
    def test_version_1(self, cgroup: Path, quota: str, usable: int) -> None:
        own_cgroup = cores._OWN_CGROUP  # pyright: ignore[reportPrivateUsage]
        own_cgroup.write_text("4:cpu,cpuacct:/here\n1:name=systemd:/x\n")
        (cgroup / "cpu/here").mkdir(parents=True)
        (cgroup / "cpu/here/cpu.cfs_quota_us").write_text(quota)
        (cgroup / "cpu/here/cpu.cfs_period_us").write_text("100000")
        assert cores.usable_cores() == usable

    def test_it_is_the_default_number_of_children(self, cgroup: Path) -> None:
        (cgroup / "cpu.max").write_text("300000 100000")
        assert WorkerOptions().children == 3
        assert WorkerOptions(concurrency=7).children == 7


class TestApp:
    def test_a_dependency_that_is_missing_in_the_app_shows_where(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "app_without_dependency.py").write_text("import no_such_dependency\n")
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(ModuleNotFoundError, match="no_such_dependency") as caught:
            load("app_without_dependency:app", None, ())
        assert any("app_without_dependency.py" in str(entry.path) for entry in caught.traceback)

    @pytest.mark.parametrize("path", ["no_such_app", "no_such_package.app:app", "json.no_such_module:app"])
    def test_an_app_that_is_not_there(self, path: str) -> None:
        with pytest.raises(ConfigurationError, match=r"Is it importable from"):
            load(path, None, ())


def test_a_worker_that_gets_no_locks_says_what_to_look_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    (tmp_path / "app_in_memory.py").write_text("import streamtasks\napp = streamtasks.StreamTasks('memory://start')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(worker, "Supervisor", fail)
    monkeypatch.setattr(worker, "open_store", lambda _: SimpleNamespace(check=list))
    monkeypatch.setattr("faulthandler.enable", lambda: None)
    with pytest.raises(ConfigurationError, match=r"Read-only file system.*/dev/shm"):
        worker.run_worker("app_in_memory:app", None, (), {}, ("INFO", "text"))


def test_closed_standard_descriptors_do_not_become_pipes_of_the_worker(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import os\n"
        "from streamtasks_workers.supervisor.worker import _open_standard_descriptors\n"
        "_open_standard_descriptors()\n"
        "assert min(os.pipe()) > 2\n"
        "os._exit(7)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = ["sh", "-c", 'exec "$0" "$1" <&- >&- 2>&-', sys.executable, str(program)]
    assert subprocess.run(command, env=environment, check=False, timeout=60).returncode == 7
