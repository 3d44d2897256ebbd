"""The documented workflows."""

from __future__ import annotations

import pytest

from tests.guide.test_guide import restore_anna
from tests.support.guide_project import GuideProject

pytestmark = pytest.mark.slow


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
