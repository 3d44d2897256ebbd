"""The documented schedules, and the functions that enqueue."""

from __future__ import annotations

from typing import Any

import pytest

from tests.guide.test_guide import restore_anna
from tests.support.guide_project import GuideProject

pytestmark = pytest.mark.slow


class TestSchedules:
    def test_the_documented_entry(self, project: GuideProject) -> None:
        """In the settings, and made at run time."""
        backend = "from streamtasks_django import get_task_backend\nschedules = get_task_backend().schedules\n"
        shown = "answer = [one.declared, one.args, one.rule.hour, one.next_run.isoformat()]"

        def declared() -> Any:
            return project.run(f"{backend}answer = [one.name for one in schedules.list()]")

        assert project.wait_for(declared) == ["welcome"]
        label, args, hour, next_run = project.run(f"{backend}one = schedules.get('welcome')\n{shown}")
        assert (label, args, hour) == ("myproject.settings:default", [1], "9")
        assert next_run.endswith("T03:15:00+00:00")  # 9 o'clock in Kathmandu
        task_id = project.run(f"{backend}answer = schedules.run_now('welcome').id")
        assert project.finish(task_id)["result"] == "Welcome email sent to anna@example.com"
        made = (
            "from myapp.tasks import send_welcome_email\n"
            "from streamtasks_django.schedules import every\n"
            "entry = {'task': 'myapp.tasks.send_welcome_email', 'schedule': every(0.5), 'args': [2]}\n"
            "schedules.create('often', **entry)\nanswer = None"
        )
        project.run(backend + made)
        last = project.wait_for(lambda: project.run(f"{backend}answer = schedules.get('often').last_task_id"))
        project.run(f"{backend}schedules.delete('often')\nanswer = None")
        assert project.finish(last)["result"] == "Welcome email sent to bert@example.com"


class TestEnqueueFunctions:
    def test_scheduling(self, project: GuideProject) -> None:
        project.run("import myapp.enqueueing\nanswer = myapp.enqueueing.enqueue_with_scheduling()")
        code = (
            "from datetime import datetime, timedelta\n"
            "from myapp.tasks import send_welcome_email\n"
            "result = send_welcome_email.apply_async(args=[1], eta=datetime.now() + timedelta(hours=1))\n"
            "answer = [result.state, (result.task.run_after - result.enqueued_at).total_seconds()]"
        )
        state, seconds = project.run(code)
        assert state == "DELAYED"
        assert abs(seconds - 3600) < 5  # a time without a zone is one of the project's own

    def test_routing(self, project: GuideProject) -> None:
        project.run("import myapp.enqueueing\nanswer = myapp.enqueueing.enqueue_with_routing()")
        code = (
            "from myapp.tasks import send_welcome_email as task\n"
            "results = [task.apply_async(args=[1], **options) for options in (\n"
            "    {'backend': 'redis'}, {'queue': 'high_priority'}, {'priority': 9})]\n"
            "answer = [[r.id, r.backend, r.task.queue_name, r.task.priority] for r in results]"
        )
        ids, *rest = zip(*project.run(code), strict=True)
        assert list(zip(*rest, strict=True)) == [
            ("redis", "default", 0),
            ("default", "high_priority", 0),
            ("default", "default", 9),
        ]
        for task_id, alias in zip(ids, ("redis", "default", "default"), strict=True):
            assert project.finish(task_id, alias=alias)["status"] == "SUCCESSFUL"

    def test_error_handling(self, project: GuideProject) -> None:
        updated = project.run("import myapp.enqueueing\nanswer = myapp.enqueueing.enqueue_with_error_handling().id")
        assert project.finish(updated)["status"] == "SUCCESSFUL"
        restore_anna(project)
        call = (
            "myapp.enqueueing.process_user_data.apply_async(args=[999, {}], "
            "link_error=myapp.enqueueing.handle_user_update_error.s())"
        )
        task_id = str(project.run(f"import myapp.enqueueing\nanswer = {call}.id"))
        assert project.finish(task_id)["status"] == "FAILED"
        project.wait_for(
            lambda: project.mails("Subject: Task Failure Notification", task_id, "Failed to process user data")
        )

    def test_conditions(self, project: GuideProject) -> None:
        task_id = project.run("import myapp.enqueueing\nanswer = myapp.enqueueing.enqueue_conditional_tasks()")
        assert project.finish(task_id)["status"] == "SUCCESSFUL"
        # What is linked to a task by its id runs after that one.
        code = (
            "from myapp.tasks import process_user_data\n"
            f"answer = process_user_data.apply_async(args=[1, {{'role': 'staff'}}], link={task_id!r}).id"
        )
        assert project.finish(project.run(code))["result"]["user_updated"]
        code = (
            "from myapp.tasks import process_user_data, send_welcome_email\n"
            "first = process_user_data.delay(999, {})\n"
            "answer = send_welcome_email.apply_async(args=[1], link=first.id).id"
        )
        assert project.finish(project.run(code))["status"] == "FAILED"

    def test_a_thousand_and_groups_of_a_hundred(self, project: GuideProject) -> None:
        found = project.run(
            "import myapp.enqueueing\n"
            "from streamtasks_django import get_task_backend\n"
            "answer = myapp.enqueueing.bulk_enqueue_tasks()\n"
            "groups = [get_task_backend().get_group(group_id) for group_id in answer['batch_ids']]\n"
            "answer['results'] = [result for group in groups for result in group.get(timeout=180)]"
        )
        assert (found["total_tasks"], found["batch_count"], len(set(found["batch_ids"]))) == (1000, 10, 10)
        emails = [f"Welcome email sent to {name}@example.com" for name in ("anna", "bert")]
        assert found["results"] == emails + [f"User with ID {number} not found" for number in range(3, 1001)]
