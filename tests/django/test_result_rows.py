"""Results in the database: the documented model, its rows, what fills them, clean-up, and the admin."""

from __future__ import annotations

from typing import Any, cast

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from streamtasks_django import models
from tests.support.result_project import ResultProject

OPTIONS: dict[str, Any] = {"url": "redis://127.0.0.1:1/0", "timeout": 0.1}

SETUP = """
from datetime import UTC, datetime, timedelta
from django.contrib.auth.models import User
from django.tasks import task_backends
from django.tasks.models import TaskResult
from streamtasks import Attempt, Message
from streamtasks.tasks.attempt import enter_attempt
from streamtasks_django.results.rows import delete_rows, write_rows
backend = task_backends["default"]
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> ResultProject:
    made = ResultProject(
        tmp_path_factory.mktemp("rows"),
        {**OPTIONS, "result_model": "shop.CustomTaskResult"},
        "shop.backends.CustomBackend",
    )
    assert {"custom_task_results", "streamtasks_results"} <= set(made.migrate())
    return made


def test_a_project_without_the_app_has_no_table() -> None:
    assert list(apps.get_app_config("streamtasks").get_models()) == []
    with pytest.raises(ImproperlyConfigured, match=r"add 'streamtasks_django\.database' to INSTALLED_APPS"):
        _ = models.TaskResult


def test_store_result_of_the_guide_fills_its_columns(project: ResultProject) -> None:
    rows = project.run(
        f"""{SETUP}
user = User.objects.create_user("anna")
message = Message(id="one", task="shop.tasks.add", args=[1, 2], priority=5, queue="mail")
enter_attempt(Attempt(message, 2, "host-1-1", 1000, 3000, 2000))
for _ in range(2):
    backend.store_result("one", 3, "SUCCESSFUL", priority=5, category="mail", user_id=user.pk)
enter_attempt(Attempt(Message(id="two", task="shop.tasks.fail"), 1, "host-1-1", 1000, 2000, 2000))
backend.store_result("two", ValueError("bad"), "FAILED", priority=0)
backend.store_result("strange", None, "SUCCESSFUL")
answer = list(CustomTaskResult.objects.order_by("id").values())"""
    )
    one, strange, two = rows
    assert (one["id"], one["status"], one["state"], one["result"], one["name"]) == (
        "one", "SUCCESSFUL", "SUCCESS", 3, "shop.tasks.add",
    )  # fmt: skip
    assert (one["priority"], one["category"], one["created_by_id"]) == (5, "mail", 1)
    assert (one["queue"], one["args"], one["worker"], one["meta"]) == ("mail", [1, 2], "host-1-1", {"attempts": 2})
    assert one["created_at"] == "1970-01-01 00:00:01+00:00"
    assert one["started_at"] == "1970-01-01 00:00:02+00:00"
    assert (two["status"], two["result"], two["category"]) == ("FAILED", None, "")
    assert two["meta"]["error"] == {"type": "builtins.ValueError", "message": "bad"}
    assert "ValueError: bad" in two["traceback"]
    assert (strange["status"], strange["name"]) == ("SUCCESSFUL", "")


def test_rows_are_queried_by_the_documented_names_and_deleted_in_batches(project: ResultProject) -> None:
    answer = project.run(
        f"""{SETUP}
start = datetime(2020, 1, 1, tzinfo=UTC)
rows = [
    dict(id=f"r{{n}}", status="SUCCESSFUL", state="SUCCESS", name="x", queue="q", priority=0,
         created_at=start + timedelta(n), finished_at=start + timedelta(n, 1))
    for n in range(1200)
]
write_rows(TaskResult, rows + rows[:3])
write_rows(TaskResult, [dict(id="unfinished", status="RUNNING", state="", name="x", created_at=start)])
old = TaskResult.objects.filter(date_created__lt=start + timedelta(10), date_done__isnull=False)
answer = [old.count(), old.order_by("-date_created").first().id, str(old.latest("date_done").date_done)]
answer.append(old.delete()[0])
answer.append(delete_rows(TaskResult, start + timedelta(1150)))
answer.append(sorted(TaskResult.objects.values_list("id", flat=True))[:2] + [TaskResult.objects.count()])
User.objects.create(username="bert")
CustomTaskResult.objects.create(id="c", status="FAILED", state="FAILURE", name="x", created_by=User.objects.last())
answer.append(User.objects.filter(username="bert").delete()[0])
answer.append(CustomTaskResult.objects.get(id="c").created_by_id)"""
    )
    assert answer[:5] == [10, "r9", "2020-01-10 00:00:01+00:00", 10, 1140]
    assert answer[5:] == [["r1150", "r1151", 51], 1, None]


def test_the_admin_lists_them_to_read(project: ResultProject) -> None:
    answer = project.run(
        f"""{SETUP}
from django.test import Client
from django.conf import settings
settings.ALLOWED_HOSTS = ["testserver"]
client = Client()
client.force_login(User.objects.create_superuser("root"))
write_rows(TaskResult, [dict(id=one, status="FAILED", state="DEAD", name="shop.tasks.add", queue=one) for one in "ab"])
def get(path):
    found = client.get("/admin/streamtasks_database/taskresult/" + path)
    return [found.status_code, found.content.count(b'field-name"')]
answer = [get(""), get("?queue=a"), get("?name=shop.tasks.add&status__exact=FAILED"), get("?q=b"), get("a/change/"),
          client.get("/admin/streamtasks_database/taskresult/add/").status_code,
          client.post("/admin/streamtasks_database/taskresult/a/delete/", {{"post": "yes"}}).status_code]"""
    )
    assert [status for status, _ in answer[:5]] == [200] * 5
    assert [count for _, count in answer[1:4]] == [1, 2, 1]
    assert answer[5:] == [403, 403]


def test_wrong_options_are_found_by_the_checks(project: ResultProject) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"result_model": 5}, "result_model is 5; it must be the label of a model"),
        ({"result_model": "shop.Missing"}, "result_model of TASKS['default'] is 'shop.Missing', but"),
        ({"result_model": "auth.User"}, "result_model is auth.User, which is no model of results"),
        ({"extra_fields": "user_id"}, "extra_fields is 'user_id'; it must be a list of names"),
        ({"extra_fields": ["queue", "user_id"]}, "extra_fields has 'queue', which is an option of a call"),
    ]
    answers = project.run(
        f"""{SETUP}
from streamtasks_django.backends.redis import RedisBackend
cases = [{{**{OPTIONS!r}, **one}} for one in {[options for options, _ in cases]!r}]
answer = [
    [[one.id, one.msg] for one in RedisBackend("default", {{"OPTIONS": options}}).check()] for options in cases
]"""
    )
    for (_, named), found in zip(cases, answers, strict=True):
        assert [check for check, message in found if named in message] == ["streamtasks.E014"]


def test_extra_arguments_of_a_call_are_those_that_the_options_name(project: ResultProject, site: str) -> None:
    from django.tasks import task_backends
    from django.test import override_settings

    from contract.app import tasks
    from contract.options import tasks_setting
    from streamtasks.protocol.message import Message
    from streamtasks_django.exceptions import InvalidTask
    from streamtasks_django.tasks.call_options import COLUMNS

    call: Any = cast("Any", tasks.add).apply_async
    with pytest.raises(TypeError, match=r"'countdwn' is no option of a call. Did you mean 'countdown'"):
        call((1, 2), countdwn=3)
    with pytest.raises(InvalidTask, match=r"'user_id' is no option .* in extra_fields of OPTIONS"):
        call((1, 2), user_id=3)
    setting = tasks_setting(site, "idle:")
    setting["default"]["OPTIONS"]["extra_fields"] = ["user_id"]
    with override_settings(TASKS=setting):
        result = call((1, 2), user_id=3)
        backend: Any = task_backends["default"]
        [snapshot] = backend.stores.plain.read([result.id])
        assert Message.decode(snapshot.envelope).headers == {COLUMNS: {"user_id": 3}}
        with pytest.raises(TypeError, match="'category' is no option"):
            call((1, 2), user_id=3, category="x")
