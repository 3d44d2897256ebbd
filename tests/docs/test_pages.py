"""Run the code of the pages in docs/ as it stands there, in one project."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streamtasks import Ignore, StreamTasks
from streamtasks_workers.testing.memory_tasks import memory_tasks
from tests.docs.test_readme import README, block, environment, run, running

PAGES = README.parent / "docs"

MEMORY = "mysite/settings.py: development"
SCHEDULE = "mysite/settings.py: schedules"
IMPORTS = "mysite/settings.py: modules with tasks"
USE = """
from shop import reports  # before the first task: then the thread of the memory backend declares what it knows
from shop import calls, flows, imports

for result in (calls.soon, calls.later, calls.after):
    assert result.state in ("DELAYED", "BLOCKED"), result.state
assert imports.import_task.delay("abc").get(timeout=60) == 3
assert flows.one_by_one.delay().get(timeout=60) == 113
assert flows.gathered.delay().get(timeout=60) == 15
assert flows.together.apply_async().get(timeout=60) == [1, 2, 3, 4, 5]
from shop import linked
from streamtasks_django import get_task_backend

backend = get_task_backend()
assert linked.checked.get(timeout=60) == 3
[child] = backend.wait_for_results(linked.checked.children, timeout=60)
assert backend.get_result(child).result == 36
from shop import traced

assert traced.traced.get(timeout=60) == 3
assert traced.traced.metadata == {"trace_id": "4bf92f", "place": 0}
from shop import at_run_time

assert at_run_time.result.get(timeout=60) == 4
assert at_run_time.reminder.rule.minute == "*/10"
[night] = [one for one in at_run_time.schedules.list() if one.name == "sums-at-night"]
assert (night.rule.tz, night.next_run.minute, night.declared) == ("Europe/Berlin", 30, "mysite.settings:default"), night
assert backend.schedules.get("shop.reports.morning_report").next_run.minute == 30
assert backend.schedules.run_now("shop.reports.look").get(timeout=60) == "looked at eu"
print("done")
"""


USE_WORKER = """
from shop import flows, imports, mails

results = [mails.send_receipt.delay(5), imports.import_task.delay("abc"), flows.one_by_one.delay()]
results += [flows.gathered.delay(), flows.together.apply_async()]
print(*(result.get(timeout=60) for result in results))
"""


def page_block(page: str, first_line: str) -> str:
    """Return the Python block of a page that begins with this comment."""
    blocks = re.findall(r"^```python\n(.*?)^```$", (PAGES / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    [found] = [text for text in blocks if text.startswith(f"# {first_line}\n")]
    return str(found)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the pages' modules, its tasks in memory."""
    tmp_path = tmp_path_factory.mktemp("pages")
    run(tmp_path, "django-admin", "startproject", "mysite", ".")
    run(tmp_path, sys.executable, "manage.py", "startapp", "shop")
    settings = tmp_path / "mysite" / "settings.py"
    ours = 'INSTALLED_APPS += ["shop", "streamtasks_django"]\n' + page_block("testing.md", MEMORY)
    ours += (
        page_block("schedules.md", SCHEDULE) + page_block("tasks.md", IMPORTS) + 'TASK_IMPORTS += ["shop.reports"]\n'
    )
    settings.write_text(settings.read_text() + "\n" + ours)
    shop = tmp_path / "shop"
    (shop / "tasks.py").write_text(block("shop/tasks.py", "") + page_block("workflows.md", "shop/tasks.py: below add"))
    for page, name in (
        ("tasks.md", "mails"),
        ("tasks.md", "calls"),
        ("tasks.md", "imports"),
        ("tasks.md", "calls_of_an_api"),
        ("tasks.md", "rows"),
        ("tasks.md", "traced"),
        ("workflows.md", "flows"),
        ("workflows.md", "linked"),
        ("schedules.md", "reports"),
        ("schedules.md", "at_run_time"),
        ("testing.md", "tests"),
        ("testing.md", "test_sums"),
    ):
        (shop / f"{name}.py").write_text(page_block(page, f"shop/{name}.py"))
    return tmp_path


def test_tasks_and_workflows(project: Path) -> None:
    run(project, sys.executable, "manage.py", "check")
    assert run(project, sys.executable, "manage.py", "shell", "-c", USE).splitlines()[-1] == "done"


def test_a_worker_on_a_server(project: Path, tmp_path: Path, embedded_url: str) -> None:
    whole = tmp_path / "project"
    shutil.copytree(project, whole)
    settings = whole / "mysite" / "settings.py"
    text = settings.read_text() + "\n" + block("mysite/settings.py", embedded_url)
    settings.write_text(text.replace('["shop", "streamtasks_django"]', '["shop"]'))
    with running(whole, "python manage.py streamtasks_worker --concurrency 1"):
        printed = run(whole, sys.executable, "manage.py", "shell", "-c", USE_WORKER)
        listed = run(whole, "streamtasks", "schedules", "--settings", "mysite.settings", "list")
    assert printed.splitlines()[-1] == "sent 5 3 113 15 [1, 2, 3, 4, 5]"
    assert "sums-at-night" in listed
    lines = (whole / "worker.log").read_text().splitlines()
    assert sum("path=shop.mails.send_receipt state=SUCCESSFUL" in line for line in lines) == 1, lines


def test_tests(project: Path) -> None:
    run(project, sys.executable, "manage.py", "test", "shop")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-pno:cacheprovider", "-pno:hypothesispytest", "shop/test_sums.py"],
        cwd=project,
        env=environment() | {"DJANGO_SETTINGS_MODULE": "mysite.settings"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_error_reporter_reports_failures_only(caplog: pytest.LogCaptureFixture) -> None:
    names: dict[str, Any] = {"__name__": "reporting"}
    exec(page_block("tasks.md", "reporting.py"), names)
    app = StreamTasks("memory://reporting", middleware=[names["ErrorReporter"]()])

    @app.task(name="fail", autoretry_for=(KeyError,), max_retries=1, default_retry_delay=0)
    def fail(kind: str) -> None:
        if kind == "ok":
            return
        raise {"ignore": Ignore(), "key": KeyError("k"), "value": ValueError("v")}[kind]

    with memory_tasks(app) as tasks:
        for kind in ("ok", "ignore", "key", "value"):
            fail.delay(kind)
        fail.delay("ok").revoke()
        tasks.run_until_idle()
    reports = [record.getMessage().split("\n")[0] for record in caplog.records if record.name == "reports"]
    assert sorted(report.partition(", ")[2] for report in reports) == [
        "attempt 1: ValueError('v')",
        "attempt 2: KeyError('k')",
    ]


def test_a_class_in_plain_python(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "reports"}
    exec(page_block("tasks.md", "reports.py"), names)
    with memory_tasks(names["app"]) as tasks:
        result = names["report"].delay(2026)
        tasks.run_until_idle()
        assert result.get(0) == "Report of 2026"
    assert capsys.readouterr().out == "Report of 2026 is done\n"


@pytest.mark.parametrize("page", sorted(path.name for path in PAGES.glob("*.md")))
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\((?!https:)([^)#]+)\)", (PAGES / page).read_text("utf-8"))
    assert [link for link in links if not (PAGES / link).exists()] == []
