"""The dashboard and the results in Django's admin, alone and beside django-unfold."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.django_site import environment
from tests.support.waiting import DEADLINE_S

pytestmark = pytest.mark.slow

URLS = """
from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("admin/", admin.site.urls), path("tasks/", include("streamtasks_django.dashboard.urls"))]
"""

SCRIPT = """
import json
import django
from django.conf import settings

settings.configure(
    SECRET_KEY="x", USE_TZ=True, ROOT_URLCONF="admin_urls", ALLOWED_HOSTS=["testserver"], STATIC_URL="/static/",
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
    INSTALLED_APPS=[
        *{first!r}, "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
        "django.contrib.messages", "django.contrib.sessions", "django.contrib.staticfiles", "streamtasks_django",
        "streamtasks_django.database", "streamtasks_django.dashboard",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[{{
        "BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
        "OPTIONS": {{"context_processors": [
            "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
            "django.contrib.messages.context_processors.messages",
        ]}},
    }}],
    TASKS={{"default": {{
        "BACKEND": "streamtasks_django.backends.memory.MemoryBackend",
        "OPTIONS": {{"url": "memory://admin", "autostart": False}},
    }}}},
)
django.setup()

from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from streamtasks.operations import audit
from streamtasks.protocol.json import dumps
from streamtasks_django import task, task_backends
from streamtasks_django.models import TaskResult
from tests.support.manual_consumer import Consumer, outcome_of

call_command("migrate", verbosity=0)
call_command("makemigrations", "--check", "--dry-run", "streamtasks_dashboard", verbosity=0)
store = task_backends["default"].stores.plain

def fail():
    pass

fail.__module__ = "admin_urls"
failing = task(fail)
result = failing.enqueue()
with Consumer(store) as hand:
    [claimed] = hand.claim(1)
    hand.settle(outcome_of(claimed, "FAILURE", dumps({{"e": {{"type": "E", "message": "m", "traceback": ""}}}})))
now = timezone.now()
for one, state in ((result.id, "FAILURE"), ("long-gone", "DEAD")):
    TaskResult.objects.create(id=one, status="FAILED", state=state, name="admin_urls.fail", finished_at=now)

def client(name, *permissions):
    user = User.objects.create(username=name, is_staff=True, is_superuser=name == "boss")
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    made = Client()
    made.force_login(user)
    return made

boss, viewer, nobody = client("boss"), client("viewer", "view", "view_taskresult"), client("nobody", "view_taskresult")
LIST, LINK = "/admin/streamtasks_database/taskresult/", "/admin/streamtasks_dashboard/dashboard/"
found = {{name: [
    LINK in one.get("/admin/").content.decode(), one.get(LIST).status_code,
    "Enqueue again" in one.get(LIST + "?state__exact=FAILURE").content.decode(), one.get(LINK).status_code,
] for name, one in (("boss", boss), ("viewer", viewer), ("nobody", nobody))}}
found["leads to"] = boss.get(LINK)["Location"]
form = {{"action": "retry", "_selected_action": [result.id, "long-gone"]}}
def again(one, **more):
    return one.post(LIST, form | more, follow=True).content.decode()
found["asks why"] = "give a reason" in again(boss)
again(viewer, reason="not allowed")
found["not yet"] = [len(store.waiting_ids("queued", "", 100, "").ids), len(audit.entries(store).entries)]
done = again(boss, reason="mended")
found["done"] = ["Enqueued again: 1" in done, "long-gone: its record has expired" in done]
found["queued"] = len(store.waiting_ids("queued", "", 100, "").ids)
found["audit"] = [[one.operation, one.actor, one.reason] for one in audit.entries(store).entries]
print(json.dumps(found))
"""


@pytest.mark.parametrize("first", [[], ["unfold"]], ids=["alone", "unfold"])
def test_the_admin(first: list[str], tmp_path: Path) -> None:
    (tmp_path / "admin_urls.py").write_text(URLS)
    known = {name: value for name, value in environment().items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(first=first)],
        cwd=tmp_path,
        env=known,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found == {
        "boss": [True, 200, True, 302],
        "viewer": [True, 200, False, 302],
        "nobody": [False, 200, False, 403],
        "leads to": "/tasks/",
        "asks why": True,
        "not yet": [0, 0],
        "done": [True, True],
        "queued": 1,
        "audit": [["retry", "boss", "mended"]],
    }
