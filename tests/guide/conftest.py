"""The project of the documented code, once in each spelling, with a worker that lives as long as the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.guide_project import INSTALLED, REPLACED, GuideProject
from tests.support.servers import server_kinds, start_server


@pytest.fixture(scope="session", params=[INSTALLED, REPLACED])
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuideProject]:
    server = start_server(server_kinds()[0])
    try:
        with GuideProject(tmp_path_factory.mktemp("guide"), server.url, request.param) as started:
            started.run(
                "from django.contrib.auth.models import User\n"
                "User.objects.create_user('anna', 'anna@example.com', first_name='Anna', is_staff=True)\n"
                "User.objects.create_user('bert', 'bert@example.com')\n"
                "User.objects.create_user('carl', 'carl@example.com', id=5000)\n"
                "from myapp.models import Post\n"
                "Post.objects.create(title='first')\n"
                "Post.objects.create(title='second')\n"
                "answer = None"
            )
            robust = (
                "myapp.tasks.robust_email_task.delay(5000, 'welcome', {'subject': 'Robust', 'name': 'Anna'})",
                "myapp.tasks.robust_email_task.delay(999, 'welcome')",
                "myapp.tasks.robust_email_task.delay(5000, 'missing', {})",
            )
            code = f"import myapp.tasks\nanswer = [result.id for result in ({', '.join(robust)})]"
            started.early["robust"] = started.run(code)
            # Both of a user whom no other test changes; and the guide's tasks save all fields of one that they
            # have read before.
            fields = {"user_id": 5000, "updates": {"first_name": "Bertram"}}
            started.early["profile"] = started.post("/profile/", "anna", json=fields)
            yield started
    finally:
        server.stop()
