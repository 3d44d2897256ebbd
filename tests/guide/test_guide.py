"""The documented code, called: every task, view and function of it, against a real worker, in both spellings."""

from __future__ import annotations

import http.server
import io
import json
import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from PIL import Image

from tests.support.guide_project import GuideProject

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

UNKNOWN = "01900000000070008000000000000000-u0"


def enqueue(project: GuideProject, call: str) -> str:
    """Enqueue by a call such as ``myapp.tasks.simple_task.delay(1)``; return the task's id."""
    module = call.rsplit("(", 1)[0].split(".")[1]
    return str(project.run(f"import myapp.{module}\nanswer = {call}.id"))


def result_of(project: GuideProject, call: str) -> Any:
    """Enqueue, wait for a success, return the result."""
    found = project.finish(enqueue(project, call))
    assert found["status"] == "SUCCESSFUL", found
    return found["result"]


def restore_anna(project: GuideProject) -> None:
    """Undo what the documented functions do to the first user, who is looked for by name elsewhere."""
    project.run(
        "from django.contrib.auth.models import User\n"
        "answer = User.objects.filter(id=1).update(first_name='Anna', email='anna@example.com')"
    )


def picture(size: tuple[int, int] = (40, 30), mode: str = "RGB") -> str:
    stream = io.BytesIO()
    Image.new(mode, size, 128).save(stream, "png")
    return stream.getvalue().hex()


class TestLifecycle:
    def test_started_checked_listed_and_revoked_while_it_runs(self, project: GuideProject) -> None:
        started = project.get("/start/")
        task_id = started.content.pop("task_id")
        assert started == (200, {"status": "started", "message": "Task has been queued"})

        def active() -> Any:
            status, content = project.get("/active/")
            assert (status, content["count"]) == (200, len(content["active_tasks"]))
            return [task for task in content["active_tasks"] if task["task_id"] == task_id]

        [listed] = project.wait_for(active)
        assert (listed["name"], listed["status"]) == ("myapp.lifecycle.long_running_task", "RUNNING")
        datetime.fromisoformat(listed["started_at"])
        assert listed["worker"]
        assert project.get(f"/check/{task_id}/") == (
            200,
            {"task_id": task_id, "status": "RUNNING", "result": None, "progress": None},
        )
        assert project.get(f"/revoke/{task_id}/") == (
            200,
            {"task_id": task_id, "status": "revoked", "message": "Task has been cancelled"},
        )
        assert project.finish(task_id, 4) == {
            "status": "FAILED",
            "state": "REVOKED",
            "result": f"Task {task_id} was revoked before it finished.",
        }
        project.wait_for(lambda: not active())

    def test_finished(self, project: GuideProject) -> None:
        task_id = enqueue(project, "myapp.lifecycle.long_running_task.delay(1, 'short')")
        assert project.finish(task_id)["result"] == "Task short completed after 1 seconds"
        assert project.get(f"/check/{task_id}/").content == {
            "task_id": task_id,
            "status": "SUCCESSFUL",
            "result": "Task short completed after 1 seconds",
            "progress": None,
        }
        assert "Task short progress: 1/1" in project.logged()


class TestTasks:
    def test_a_simple_one(self, project: GuideProject) -> None:
        assert result_of(project, "myapp.tasks.simple_task.delay('a')") == "Completed: a"

    def test_mail(self, project: GuideProject) -> None:
        assert result_of(project, "myapp.tasks.send_welcome_email.delay(1)") == "Welcome email sent to anna@example.com"
        assert project.mails("Welcome to our platform!", "Hello Anna")
        assert result_of(project, "myapp.tasks.send_welcome_email.delay(999)") == "User with ID 999 not found"

    def test_a_routed_one_runs_on_the_other_backend(self, project: GuideProject) -> None:
        call = "myapp.tasks.send_email_django_task.delay(1, 'Routed', 'Hello')"
        assert project.run(f"import myapp.tasks\nresult = {call}\nanswer = result.backend") == "redis"
        project.wait_for(lambda: project.mails("Subject: Routed"))

    def test_user_data(self, project: GuideProject) -> None:
        updates = {"last_name": "Berg", "profile": {"bio": "new"}}
        assert result_of(project, f"myapp.tasks.process_user_data.delay(2, {updates!r})") == {
            "user_updated": True,
            "profile_created": True,
            "updated_fields": ["last_name", "profile"],
        }
        failed = project.finish(enqueue(project, "myapp.tasks.process_user_data.delay(999, {})"))
        assert (failed["status"], failed["state"]) == ("FAILED", "FAILURE")
        assert failed["result"].startswith("Failed to process user data: User matching query")

    def test_external_data(self, project: GuideProject, api: str) -> None:
        assert result_of(project, f"myapp.tasks.fetch_external_data.delay({api!r}, params={{'page': 1}})") == {
            "success": True,
            "items_processed": 3,
            "total_items": 3,
        }
        failed = project.finish(enqueue(project, f"myapp.tasks.fetch_external_data.delay({api + 'missing'!r})"))
        assert failed["result"].startswith("API request failed: 404")

    def test_an_urgent_one(self, project: GuideProject) -> None:
        """On a queue that nobody has declared."""
        assert result_of(project, "myapp.tasks.urgent_notification_task.delay([1, 2, 999], 'Now!')") == {
            "successful_sends": 2,
            "failed_sends": 1,
            "total_users": 3,
        }

    def test_a_report_shows_its_progress(self, project: GuideProject) -> None:
        task_id = enqueue(project, "myapp.tasks.generate_report.delay('sales', '2024', 1)")
        seen = project.wait_for(lambda: project.get(f"/status/{task_id}/").content.get("progress"))
        assert "status" in seen
        found = project.finish(task_id)
        assert found["result"] == {
            "report_path": "/reports/sales-4.pdf",
            "report_type": "sales",
            "generated_for": "anna@example.com",
            "sections_generated": 4,
        }
        assert project.mails("Subject: Report Ready: sales")

    def test_what_is_stored_besides(self, project: GuideProject) -> None:
        call = "myapp.tasks.simple_task.apply_async(args=['kept'], priority=7, category='mail', user_id=2)"
        task_id = enqueue(project, call)
        project.finish(task_id)
        stored = project.run(
            "from myapp.models import StoredResult\n"
            f"answer = list(StoredResult.objects.filter(task_id={task_id!r}).values_list(\n"
            "    'status', 'result', 'priority', 'category', 'created_by_id'))"
        )
        assert stored == [["SUCCESSFUL", "Completed: kept", 7, "mail", 2]]


@pytest.fixture
def api() -> Iterator[str]:
    """An address that answers with three items."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path.startswith("/?page=1")
            body = json.dumps({"items": [1, 2, 3]}).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


class TestEnqueueViews:
    def test_welcome(self, project: GuideProject) -> None:
        assert project.post("/welcome/").status == 302  # to log in
        assert project.get("/welcome/", "anna").status == 405
        assert project.post("/welcome/", "anna") == (400, {"error": "User ID required"})
        answer = project.post("/welcome/", "anna", data={"user_id": "2"})
        assert (answer.status, answer.content["status"]) == (200, "queued")
        assert project.finish(answer.content["task_id"])["result"] == "Welcome email sent to bert@example.com"

    def test_profile(self, project: GuideProject) -> None:
        assert project.post("/profile/", "anna", json={}) == (400, {"error": "User ID required"})
        answer = project.early["profile"]
        assert (answer.status, answer.content["message"]) == (200, "User profile update queued")
        said = project.run(
            "from streamtasks_django import get_task_backend\n"
            f"result = get_task_backend().get_result({answer.content['task_id']!r})\n"
            "wait = (result.task.run_after - result.enqueued_at).total_seconds()\n"
            "answer = [result.task.priority, wait]"
        )
        assert said[0] == 5
        assert abs(said[1] - 10) < 1

    def test_publish(self, project: GuideProject) -> None:
        assert project.post("/publish/", "anna", json={}) == (400, {"error": "Post IDs required"})
        answer = project.post("/publish/", "anna", json={"post_ids": [1, 2, 999]})
        assert (answer.status, answer.content["total_posts"]) == (200, 3)
        assert project.finish(answer.content["task_id"])["result"] == {
            "successful": [1, 2],
            "failed": [{"post_id": 999, "error": "Post not found"}],
            "total": 3,
        }
        published = "from myapp.models import Post\nanswer = Post.objects.filter(published=True).count()"
        assert project.run(published) == 2

    def test_migration_with_its_hooks(self, project: GuideProject) -> None:
        answer = project.get("/migrate/", type="user_profiles", batch_size=1)
        assert answer.content.pop("task_id")
        assert answer == (200, {"migration_type": "user_profiles", "batch_size": 1, "status": "started"})
        project.wait_for(
            lambda: project.mails("Subject: Data Migration Completed", "'migration_type': 'user_profiles'")
        )
        failed = project.finish(project.get("/migrate/", type="stars").content["task_id"])
        assert (failed["status"], failed["result"]) == ("FAILED", "Unknown migration type: stars")
        # The hook reads what run() has set on the task.
        project.wait_for(lambda: project.mails("Subject: Data Migration Failed", "Migration stars failed: Unknown"))
        assert result_of(project, "myapp.tasks.data_migration_task.delay('post_categories')") is None

    def test_upload(self, project: GuideProject) -> None:
        assert project.post("/upload/") == (400, {"error": "No file uploaded"})
        answer = project.post(
            "/upload/", data={"width": "20", "height": "10"}, file={"name": "photo.png", "content": picture()}
        )
        task_id = answer.content.pop("task_id")
        assert answer == (200, {"file_name": "photo.png", "processing_type": "image_resize", "status": "queued"})
        found = project.finish(task_id)["result"]
        assert (found["original_size"], found["new_size"]) == ([40, 30], [20, 10])
        with Image.open(found["resized_path"]) as image:
            assert image.size == (20, 10)
        answer = project.post(
            "/upload/",
            data={"processing_type": "image_optimize", "quality": "50"},
            file={"name": "second.png", "content": picture(mode="RGBA")},
        )
        assert project.finish(answer.content["task_id"])["result"]["optimized_size"] > 0
        answer = project.post(
            "/upload/",
            data={"processing_type": "generate_thumbnails"},
            file={"name": "third.png", "content": picture((700, 700))},
        )
        thumbnails = project.finish(answer.content["task_id"])["result"]["thumbnails"]
        assert [thumbnail["size"] for thumbnail in thumbnails] == [[150, 150], [300, 300], [600, 600]]
        failed = project.finish(enqueue(project, "myapp.tasks.file_processing_task.delay('/no/file', 'image_resize')"))
        assert failed["result"] == "File not found: /no/file"


class TestSchedules:
    def test_the_documented_entry(self, project: GuideProject) -> None:
        """In the settings, and made at run time."""
        backend = "from streamtasks_django import get_task_backend\nschedules = get_task_backend().schedules\n"
        shown = "answer = [one.declared, one.args, one.rule.hour, one.next_run.isoformat()]"

        def declared() -> Any:
            return project.run(f"{backend}answer = [one.name for one in schedules.list()]")

        assert project.wait_for(declared) == ["welcome"]
        label, args, hour, next_run = project.run(f"{backend}one = schedules.get('welcome')\n{shown}")
        assert (label, args, hour) == ("default", [1], "9")
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
            "answer['results'] = [result for group in groups for result in group.get(timeout=40)]"
        )
        assert (found["total_tasks"], found["batch_count"], len(set(found["batch_ids"]))) == (1000, 10, 10)
        emails = [f"Welcome email sent to {name}@example.com" for name in ("anna", "bert")]
        assert found["results"] == emails + [f"User with ID {number} not found" for number in range(3, 1001)]


class TestCanvasFunctions:
    def test_a_group(self, project: GuideProject) -> None:
        found = project.run(
            "import myapp.enqueueing\n"
            "from streamtasks_django import get_task_backend\n"
            "answer = myapp.enqueueing.enqueue_task_groups()\n"
            "started = get_task_backend().get_group(answer['group_id'])\n"
            "answer['results'] = started.get(timeout=20)\n"
            "answer['ids'] = [result.id for result in started.results]"
        )
        ids = found.pop("ids")
        assert len(set(ids)) == 5
        assert project.finish(ids[1])["result"] == "Welcome email sent to bert@example.com"
        assert found.pop("group_id")
        assert found == {
            "task_count": 5,
            "status": "queued",
            "results": [
                "Welcome email sent to anna@example.com",
                "Welcome email sent to bert@example.com",
                *(f"User with ID {number} not found" for number in (3, 4, 5)),
            ],
        }

    def test_a_chain(self, project: GuideProject) -> None:
        """Its id is that of the last task. The second one cannot use what the first returns, a dict, and says so."""
        found = project.run("import myapp.enqueueing\nanswer = myapp.enqueueing.enqueue_task_chain()")
        chain_id = found.pop("chain_id")
        assert found == {"status": "started"}
        last = project.finish(chain_id)
        assert last["status"] == "FAILED"
        assert "Failed to send email" in last["result"]
        names = [name.rpartition(".")[2] for name, _ in self._steps(project, chain_id)]
        assert names == ["process_user_data", "send_welcome_email", "generate_report"]
        assert [state for _, state in self._steps(project, chain_id)] == ["SUCCESS", "FAILURE", "FAILURE"]
        name = "from django.contrib.auth.models import User\nanswer = User.objects.get(id=1).first_name"
        assert project.run(name) == "John"
        restore_anna(project)

    def test_a_chord(self, project: GuideProject) -> None:
        """Users 3 to 5 do not exist: a header that fails fails the callback, which never runs."""
        found = project.run("import myapp.enqueueing\nanswer = myapp.enqueueing.enqueue_task_chord()")
        chord_id = found.pop("chord_id")
        assert found == {"header_tasks": 5, "status": "started"}
        ended = project.finish(chord_id)
        assert ended["status"] == "FAILED"
        assert "User matching query does not exist" in ended["result"]

    def test_a_chord_whose_callback_gets_the_results_first(self, project: GuideProject) -> None:
        """The documented callback takes three arguments, and gets two: its failure names what is missing."""
        chord_id = project.run(
            "from myapp.enqueueing import chord, generate_report, group, process_user_data\n"
            "header = group([process_user_data.s(user_id, {'status': 'processed'}) for user_id in [1, 2]])\n"
            "answer = chord(header)(generate_report.s('batch_processing_summary')).id"
        )
        ended = project.finish(chord_id)
        assert ended["status"] == "FAILED"
        assert ended["result"].endswith("missing 1 required positional argument: 'user_id'")
        chord_id = project.run(
            "from myapp.enqueueing import chord, generate_report, group, process_user_data\n"
            "header = group([process_user_data.s(user_id, {'status': 'processed'}) for user_id in [1, 2]])\n"
            "answer = chord(header)(generate_report.s('batch_processing_summary', 1)).id"
        )
        ended = project.finish(chord_id)
        assert ended["status"] == "SUCCESSFUL", ended
        updated = {"user_updated": True, "updated_fields": ["status"]}
        assert [updated.items() <= one.items() for one in ended["result"]["report_type"]] == [True, True]

    def test_a_chain_through(self, project: GuideProject) -> None:
        """The guide's three tasks, put together so that they fit."""
        chain_id = project.run(
            "from myapp.enqueueing import chain, generate_report, process_user_data, send_welcome_email\n"
            "flow = chain(process_user_data.s(1, {}), send_welcome_email.si(1), generate_report.s('2024-01-01', 1))\n"
            "answer = flow.apply_async().id"
        )
        assert project.finish(chain_id)["result"]["report_type"] == "Welcome email sent to anna@example.com"

    @staticmethod
    def _steps(project: GuideProject, task_id: str) -> list[tuple[str, str]]:
        code = (
            "from streamtasks_django import get_task_backend\n"
            f"graph = get_task_backend().get_result({task_id!r}).workflow.graph()\n"
            "answer = [[node.task, node.state] for node in graph]"
        )
        return [(name, state) for name, state in project.run(code)]


class TestResultViews:
    def test_status(self, project: GuideProject) -> None:
        task_id = enqueue(project, "myapp.tasks.simple_task.delay('s')")
        project.finish(task_id)
        assert project.get(f"/status/{task_id}/") == (
            200,
            {
                "task_id": task_id, "status": "SUCCESSFUL", "ready": True, "successful": True, "failed": False,
                "result": "Completed: s",
            },
        )  # fmt: skip
        failing = enqueue(project, "myapp.tasks.data_migration_task.delay('moons')")
        project.finish(failing)
        content = project.get(f"/status/{failing}/").content
        assert "ValueError: Unknown migration type: moons" in content.pop("traceback")
        assert content == {
            "task_id": failing, "status": "FAILED", "ready": True, "successful": False, "failed": True,
            "error": "Unknown migration type: moons",
        }  # fmt: skip
        answer = project.get(f"/status/{UNKNOWN}/")
        assert (answer.status, answer.content["task_id"]) == (500, UNKNOWN)
        assert answer.content["error"].startswith("Failed to retrieve task status")

    def test_waiting(self, project: GuideProject) -> None:
        task_id = enqueue(project, "myapp.tasks.simple_task.delay('w')")
        assert project.get(f"/wait/{task_id}/", timeout=20) == (
            200,
            {"task_id": task_id, "status": "completed", "result": "Completed: w"},
        )
        later = enqueue(project, "myapp.tasks.simple_task.apply_async(args=['l'], countdown=300)")
        assert project.get(f"/wait/{later}/", timeout=0) == (
            408,
            {"task_id": later, "status": "timeout", "message": "Task did not complete within 0 seconds"},
        )
        failing = enqueue(project, "myapp.tasks.data_migration_task.delay('suns')")
        assert project.get(f"/wait/{failing}/", timeout=20) == (
            500,
            {"task_id": failing, "status": "error", "error": "Unknown migration type: suns"},
        )
        assert project.get(f"/revoke/{later}/").status == 200
        assert project.get(f"/wait/{later}/", timeout=5).status == 500

    def test_revoking(self, project: GuideProject) -> None:
        task_id = enqueue(project, "myapp.tasks.simple_task.apply_async(args=['r'], countdown=300)")
        for _ in range(2):
            assert project.get(f"/revoke/{task_id}/").content["status"] == "revoked"
        assert project.get(f"/status/{task_id}/").content["status"] == "FAILED"
        assert project.get(f"/revoke/{UNKNOWN}/").status == 200


class TestResultManagement:
    def test_the_documented_manager(self, project: GuideProject) -> None:
        done = enqueue(project, "myapp.tasks.simple_task.delay('m')")
        project.finish(done)
        failing = enqueue(project, "myapp.tasks.data_migration_task.delay('rings')")
        project.finish(failing)
        setup = "from myapp.result_management import TaskResultManager\nmanager = TaskResultManager()\n"
        info = project.run(f"{setup}answer = manager.get_task_info({done!r})")
        assert (info["status"], info["ready"], info["result"]) == ("SUCCESSFUL", True, "Completed: m")
        assert datetime.fromisoformat(info["date_created"]) <= datetime.fromisoformat(info["date_done"])
        info = project.run(f"{setup}answer = manager.get_task_info({failing!r})")
        assert (info["failed"], info["error"]) == (True, "Unknown migration type: rings")
        assert "Traceback" in info["traceback"]
        assert set(project.run(f"{setup}answer = manager.get_task_info('nobody')")) == {"task_id", "error"}
        found = project.run(f"{setup}answer = manager.wait_for_multiple_tasks({[done, failing]!r}, timeout=5)")
        assert [one["status"] for one in found.values()] == ["completed", "error"]
        assert project.run(f"{setup}answer = manager.cleanup_old_results(7)") == 0
        statistics = project.run(f"{setup}answer = manager.backend.get_statistics()")
        assert statistics["completed_tasks"] > 0
        assert statistics["failed_tasks"] > 0
        assert statistics["average_execution_time"] > 0
        assert set(statistics) == set(project.run(f"{setup}answer = manager.get_task_statistics()"))

    def test_the_documented_monitor(self, project: GuideProject) -> None:
        task_id = enqueue(project, "myapp.tasks.generate_report.delay('monthly', '2024', 1)")
        said, final = project.run(
            "from myapp.result_management import TaskMonitor\n"
            "said = []\n"
            f"final = TaskMonitor().monitor_task_progress({task_id!r}, said.append)\n"
            "answer = [said, final]"
        )
        assert said[-1] == final
        assert (final["status"], final["completed"], final["successful"]) == ("SUCCESSFUL", True, True)
        assert final["result"]["report_path"] == "/reports/monthly-4.pdf"
        assert any(one.get("progress", {}).get("total") == 4 for one in said[:-1]), said

    def test_workers(self, project: GuideProject) -> None:
        code = "from streamtasks_django import TaskMonitor\nanswer = TaskMonitor().get_worker_statistics()"
        found = project.run(code)
        assert found["active_workers"] == len(found["worker_load"]) == 1
        assert found["total_tasks_processed"] > 0
        assert found["average_task_duration"] > 0

    def test_the_documented_command(self, project: GuideProject) -> None:
        for name in ("cleanup_task_results", "streamtasks_cleanup"):
            said = project.run(
                "import io\nfrom django.core.management import call_command\nout = io.StringIO()\n"
                f"call_command({name!r}, '--days', '7', '--backend', 'default', stdout=out)\nanswer = out.getvalue()"
            )
            assert "Successfully cleaned up 0 old task results" in said

    @pytest.mark.parametrize("module", ["myapp.consumers", "streamtasks_django.channels"])
    def test_the_documented_consumer_and_ours(self, project: GuideProject, module: str) -> None:
        task_id = enqueue(project, "myapp.tasks.simple_task.delay('c')")
        project.finish(task_id)
        said = project.run(
            f"from {module} import TaskProgressConsumer\n"
            "from types import SimpleNamespace\n"
            "from asgiref.sync import async_to_sync\n"
            "from channels.layers import get_channel_layer\n"
            "from channels.testing import WebsocketCommunicator\n"
            "async def talk(consumer, communicator, layer, id, user):\n"
            "    talker = communicator(consumer.as_asgi(), '/')\n"
            "    talker.scope.update(url_route={'kwargs': {'task_id': id}}, user=user)\n"
            "    assert (await talker.connect())[0]\n"
            "    first = await talker.receive_from()\n"
            "    await layer().group_send(f'task_{id}', {'type': 'task_progress_update', 'data': {'own': 1}})\n"
            "    found = [first]\n"
            "    while 'own' not in found[-1]:\n"
            "        found.append(await talker.receive_from())\n"
            "    await talker.disconnect()\n"
            "    return found\n"
            "user = SimpleNamespace(is_authenticated=True)\n"
            "parts = TaskProgressConsumer, WebsocketCommunicator, get_channel_layer\n"
            f"answer = async_to_sync(talk)(*parts, {task_id!r}, user)"
        )
        first, *_, last = map(json.loads, said)
        assert (first["type"], first["data"]["result"]) == ("task_status", "Completed: c")
        assert last == {"type": "progress_update", "data": {"own": 1}}


class TestWhatTakesLong:
    """It was enqueued first."""

    def test_robust_ones(self, project: GuideProject) -> None:
        """Limited to ten a minute: each starts six seconds after the one before."""
        sent, ignored, failing = project.early["robust"]
        assert project.finish(sent)["result"] == "Email sent to anna@example.com"
        assert project.mails("Subject: Robust", "Welcome, Anna!")
        assert project.finish(ignored) == {"status": "SUCCESSFUL", "state": "IGNORED", "result": None}
        state = f"__import__('streamtasks_django').get_task_backend().get_result({failing!r}).state"
        project.wait_for(lambda: project.evaluate(state) == "RETRY", 20)
        content = project.get(f"/status/{failing}/").content
        assert (content["status"], content["ready"]) == ("READY", False)
        assert project.get(f"/revoke/{failing}/").status == 200
        assert project.evaluate(state) == "REVOKED"

    def test_a_countdown(self, project: GuideProject) -> None:
        assert project.finish(project.early["profile"].content["task_id"])["result"]["updated_fields"] == ["first_name"]
        name = "from django.contrib.auth.models import User\nanswer = User.objects.get(id=2).first_name"
        assert project.run(name) == "Bertram"


def test_the_worker_had_no_trouble(project: GuideProject) -> None:
    """What it logged are errors of tasks, and none of its own."""
    log = project.worker_log.read_text("utf-8", "replace")
    assert "ERROR streamtasks" not in log
