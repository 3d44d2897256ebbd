"""Run the code and the commands of docs/security.md as they stand there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from streamtasks_workers.testing.memory_tasks import memory_tasks
from tests.docs.test_pages import PAGES, page_block
from tests.docs.test_readme import block, environment, run, running

TEXT = (PAGES / "security.md").read_text("utf-8")
USE = """
from django.tasks import task_backends
from shop.tasks import add

result = add.enqueue(2, 3)
task_backends["default"].wait_for_results([result.id], timeout=60)
print(add.get_result(result.id).return_value)
"""


@pytest.fixture
def secret() -> str:
    """A secret made by the command of the page."""
    [command] = re.findall(r"^\$ (python -c .*)$", TEXT, re.MULTILINE)
    made = subprocess.run([sys.executable, *shlex.split(command)[1:]], capture_output=True, text=True, check=True)
    return made.stdout.strip()


def test_plain_python(secret: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"# the newest first\n{secret}\n")
    code = page_block("security.md", "sealed.py").replace("/run/secrets/shop-task-keys", str(keys))
    names: dict[str, Any] = {"__name__": "sealed"}
    exec(code.replace("redis://127.0.0.1:6379/0", "memory://docs-security"), names)
    with memory_tasks(names["app"]) as tasks:
        result = names["pay"].enqueue(1, 250)
        tasks.run_until_idle()
        [snapshot] = names["app"].store.read([result.id])
        assert (snapshot.envelope[:2], snapshot.result[:2], result.get(0)) == (b"S1", b"S1", 250)


@pytest.mark.slow
def test_a_django_project(secret: str, tmp_path: Path, embedded_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, "django-admin", "startproject", "mysite", ".")
    run(tmp_path, sys.executable, "manage.py", "startapp", "shop")
    settings = tmp_path / "mysite" / "settings.py"
    ours = block("mysite/settings.py", embedded_url) + page_block("security.md", "mysite/settings.py: encrypted")
    settings.write_text(settings.read_text() + 'INSTALLED_APPS += ["shop"]\n' + ours)
    (tmp_path / "shop" / "tasks.py").write_text(block("shop/tasks.py", ""))
    for wrong, told in (
        ("", "SHOP_TASK_KEYS is not set or empty"),
        ("hush", "has 4 bytes; a secret needs at least 32"),
    ):
        monkeypatch.setenv("SHOP_TASK_KEYS", wrong)
        checked = subprocess.run(
            [sys.executable, "manage.py", "check"],
            cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert checked.returncode != 0
        assert told in checked.stderr
        assert "streamtasks.E001" in checked.stderr
        assert "hush" not in checked.stderr
    monkeypatch.setenv("SHOP_TASK_KEYS", secret)
    run(tmp_path, sys.executable, "manage.py", "check")
    with running(tmp_path, "python manage.py streamtasks_worker --concurrency 1"):
        printed = run(tmp_path, sys.executable, "manage.py", "shell", "-c", USE)
    assert printed.splitlines()[-1] == "5"
    with redis.Redis.from_url(embedded_url) as client:
        [record] = client.keys("*r:*")
        content: Any = client.get(record)
    assert content.count(b"E1") >= 2  # call and result
    assert b"shop.tasks.add" not in content
    assert secret not in (tmp_path / "worker.log").read_text()


def test_errors_and_options_that_it_names_exist() -> None:
    from streamtasks import StoreSettings, exceptions

    for name in ("NotAuthentic", "UnknownKey"):
        assert name in TEXT
        assert hasattr(exceptions, name)
    for option in ("signing_keys", "encryption_keys", "require_signed", "encrypt"):
        assert f"`{option}`" in TEXT or f'"{option}"' in TEXT
        assert option in StoreSettings.__dataclass_fields__
