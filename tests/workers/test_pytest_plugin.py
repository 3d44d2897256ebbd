"""The fixtures, in projects of their own: plain Python and Django, quiet with all warnings as errors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SHOP = """
from streamtasks import Retry, StreamTasks, current_attempt

app = StreamTasks("redis://127.0.0.1:1/0")


@app.task
def add(a, b):
    return a + b


@app.task(max_retries=5, retry_delay_s=3600)
def flaky():
    if current_attempt().number < 3:
        raise Retry
    return "done"


@app.task
def pid():
    import os

    return os.getpid()
"""


def run(project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of a project as its developers do."""
    # Plugins of ours that their projects do not need take a second to be imported.
    without = [f"-pno:{name}" for name in ("cacheprovider", "asyncio", "anyio", "hypothesispytest", "valkey")]
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", *without, *options]
    clean = {name: text for name, text in os.environ.items() if not name.startswith("DJANGO_")}
    return subprocess.run(command, cwd=project, env=clean, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    settings = ["[pytest]", "filterwarnings = error", "pythonpath = .", "streamtasks_app = shop:app", "timeout = 40"]
    (tmp_path / "pytest.ini").write_text("\n".join(settings))
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


def test_plain_python(project: Path) -> None:
    (project / "test_shop.py").write_text(
        """
import os

import pytest
from shop import add, app, flaky, pid


def test_in_memory(streamtasks_memory):
    result, other = add.enqueue(1, 2), flaky.enqueue()
    streamtasks_memory.assert_enqueued(add, args=[1, 2], count=1)
    with pytest.raises(AssertionError, match="found 1"):
        streamtasks_memory.assert_enqueued(flaky, count=2)
    assert [ran.state for ran in streamtasks_memory.run_until_idle()] == ["SUCCESS", "RETRY", "RETRY", "SUCCESS"]
    assert (result.get(0), other.get(0)) == (3, "done")


def test_begins_empty(streamtasks_memory):
    streamtasks_memory.assert_nothing_enqueued()
    assert app.settings.is_memory


def test_it_ends_with_the_test():
    assert app.settings.url == "redis://127.0.0.1:1/0"


def test_a_real_worker(streamtasks_worker):
    results = [add.enqueue(3, 4), pid.enqueue()]
    assert results[0].get(10) == 7
    assert results[1].get(10) != os.getpid()
    assert "Traceback" not in streamtasks_worker.log


def test_an_empty_server(streamtasks_server):
    import redis

    with redis.Redis.from_url(streamtasks_server) as client:
        assert client.dbsize() == 0
"""
    )
    done = run(project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout
    assert "warning" not in done.stdout


def test_nothing_is_imported_before_it_is_used(project: Path) -> None:
    (project / "test_light.py").write_text(
        """
import sys


def test_light():
    heavy = {"django", "redis", "streamtasks", "streamtasks_django", "streamtasks_workers.supervisor.worker"}
    heavy &= set(sys.modules)
    assert heavy <= {"streamtasks"}, heavy
    assert "streamtasks_workers.pytest_plugin" in sys.modules
"""
    )
    done = run(project)
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_an_app_the_error_says_what_to_do(project: Path) -> None:
    (project / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    (project / "test_none.py").write_text("def test_none(streamtasks_memory):\n    pass\n")
    done = run(project)
    assert done.returncode == 1
    assert 'set streamtasks_app = "module:attribute"' in done.stdout


def test_a_worker_that_cannot_start_shows_its_log(project: Path) -> None:
    (project / "shop.py").write_text(
        SHOP + "\nimport sys\nif 'pytest' not in sys.modules:\n    raise RuntimeError('not here')\n"
    )
    (project / "test_shop.py").write_text("def test_worker(streamtasks_worker):\n    pass\n")
    done = run(project)
    assert done.returncode == 1
    assert "RuntimeError: not here" in done.stdout


class TestDjango:
    @pytest.fixture
    def site(self, tmp_path: Path) -> Path:
        (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\npythonpath = .\n")
        (tmp_path / "conftest.py").write_text(
            "import os\nos.environ['DJANGO_SETTINGS_MODULE'] = 'site_settings'\nimport django\ndjango.setup()\n"
        )
        (tmp_path / "site_settings.py").write_text(
            """
SECRET_KEY = "x"
USE_TZ = True
INSTALLED_APPS = ["streamtasks_django"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.sqlite3"}}
TASK_IMPORTS = ["site_tasks"]
TASKS = {
    "default": {
        "BACKEND": "streamtasks_django.backends.redis.RedisBackend",
        "OPTIONS": {"connection": {"host": "127.0.0.1", "port": 1}, "key_prefix": "site:"},
    }
}
"""
        )
        (tmp_path / "site_tasks.py").write_text(
            """
import os

from django.tasks import task


@task
def add(a, b):
    return a + b


@task
def pid():
    return os.getpid()
"""
        )
        return tmp_path

    def test_memory_and_worker(self, site: Path) -> None:
        (site / "test_site.py").write_text(
            """
import os
import time

from site_tasks import add, pid


def test_in_memory(streamtasks_memory):
    result = add.enqueue(1, 2)
    streamtasks_memory.assert_enqueued(add, args=[1, 2])
    streamtasks_memory.run_until_idle()
    result.refresh()
    assert result.return_value == 3


def test_a_real_worker(streamtasks_worker):
    result = pid.enqueue()
    deadline = time.monotonic() + 60
    while not result.is_finished and time.monotonic() < deadline:
        time.sleep(0.01)
        result.refresh()
    assert result.return_value != os.getpid()
"""
        )
        done = run(site)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "2 passed" in done.stdout
