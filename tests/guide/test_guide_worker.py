"""What takes the documented worker long, and that it had no trouble: after all the others."""

from __future__ import annotations

import pytest

from tests.support.guide_project import GuideProject

pytestmark = pytest.mark.slow


class TestWhatTakesLong:
    """It was enqueued first."""

    def test_robust_ones(self, project: GuideProject) -> None:
        """Limited to ten a minute: each starts six seconds after the one before."""
        sent, ignored, failing = project.early["robust"]
        assert project.finish(sent)["result"] == "Email sent to carl@example.com"
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
        name = "from django.contrib.auth.models import User\nanswer = User.objects.get(id=5000).first_name"
        assert project.run(name) == "Bertram"


def test_the_worker_had_no_trouble(project: GuideProject) -> None:
    """What it logged are errors of tasks, and none of its own."""
    log = project.worker_log.read_text("utf-8", "replace")
    assert "ERROR streamtasks" not in log
