"""The documented views and functions that read results."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from tests.guide.test_guide import UNKNOWN, enqueue
from tests.support.guide_project import GuideProject
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


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
        assert any((one.get("progress") or {}).get("total") == 4 for one in said[:-1]), said

    def test_workers(self, project: GuideProject) -> None:
        code = "from streamtasks_django import TaskMonitor\nanswer = TaskMonitor().get_worker_statistics()"
        project.finish(enqueue(project, "myapp.tasks.simple_task.delay('m')"))
        found = wait_until(
            lambda: (answer := project.run(code))["active_workers"] and answer, "the worker has given a sign of life"
        )
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
