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

pytestmark = pytest.mark.slow

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
