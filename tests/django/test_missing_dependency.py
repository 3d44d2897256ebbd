"""A module of the project that fails while it is imported shows its own traceback; one that is absent is named."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_readme import environment

SETTINGS = """\
SECRET_KEY = "only for this test"
INSTALLED_APPS = ["shop", "streamtasks_django"]
ROOT_URLCONF = "mysite.urls"
TASKS = {"default": {"BACKEND": "shop.backend.Backend", "OPTIONS": {"url": "redis://127.0.0.1:1/0", "timeout": 0.1}}}
TASK_IMPORTS = ["shop.more"]
STREAMTASKS = {"MIDDLEWARE": ["shop.middleware.Quiet"]}
"""
FILES = {
    "mysite/__init__.py": "",
    "mysite/settings.py": SETTINGS,
    "mysite/urls.py": "urlpatterns = []\n",
    "shop/__init__.py": "",
    "shop/apps.py": "",
    "shop/models.py": "",
    "shop/tasks.py": "",
    "shop/more.py": "",
    "shop/backend.py": "from streamtasks_django.backends.redis import RedisBackend as Backend\n",
    "shop/middleware.py": "from streamtasks import Middleware as Quiet\n",
}
WORKERS = {
    "streamtasks-worker": ["-m", "streamtasks_workers", "--settings", "mysite.settings"],
    "manage.py": ["-m", "django", "streamtasks_worker", "--settings", "mysite.settings"],
}


def start(folder: Path, how: str, changes: dict[str, str | None]) -> tuple[int, str]:
    """Start a worker of a project with these files changed, or left out; return its exit status and what it printed."""
    for name, text in {**FILES, **changes}.items():
        if text is not None:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
    done = subprocess.run(
        [sys.executable, *WORKERS[how]], cwd=folder, env=environment(), capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("how", "name"),
    [
        *(("streamtasks-worker", name) for name in FILES if name != "mysite/__init__.py"),
        ("manage.py", "mysite/settings.py"),
        ("manage.py", "shop/tasks.py"),
    ],
)
def test_a_missing_dependency_shows_its_line(tmp_path: Path, how: str, name: str) -> None:
    status, printed = start(tmp_path, how, {name: f"import no_such_dependency\n{FILES[name]}"})
    assert status == 1, printed
    assert f'File "{tmp_path / name}", line 1, in <module>' in printed
    assert "ModuleNotFoundError: No module named 'no_such_dependency'" in printed
    assert "settings module" not in printed


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mysite/settings.py", "The settings module 'mysite.settings' cannot be imported: No module named"),
        ("mysite/urls.py", "ROOT_URLCONF names 'mysite.urls', .* No module named 'mysite.urls'"),
        ("shop/more.py", "TASK_IMPORTS names 'shop.more': No module named 'shop.more'"),
        ("shop/middleware.py", r"STREAMTASKS\['MIDDLEWARE'\] names 'shop.middleware.Quiet': No module named"),
        ("shop/backend.py", "No alias of TASKS has a backend that needs a worker"),
    ],
)
def test_an_absent_module_is_named_without_a_traceback(tmp_path: Path, name: str, words: str) -> None:
    status, printed = start(tmp_path, "streamtasks-worker", {name: None})
    assert (status, "Traceback" in printed) == (2, False), printed
    assert re.search(words, printed), printed


def test_any_other_error_of_a_module_shows_its_line_and_why_it_was_imported(tmp_path: Path) -> None:
    status, printed = start(tmp_path, "streamtasks-worker", {"mysite/urls.py": "1 / 0\n"})
    assert status == 1, printed
    assert f'File "{tmp_path / "mysite/urls.py"}", line 1, in <module>' in printed
    assert "ZeroDivisionError" in printed
    assert "IMPORT_URLCONF" in printed
