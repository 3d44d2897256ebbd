"""``manage.py streamtasks_doctor``: the same words, for the backends of a project."""

from __future__ import annotations

import json

import pytest

from tests.support.django_site import manage
from tests.support.unreachable import closed_port


@pytest.mark.slow
def test_manage_py_has_the_doctor(site_url: str) -> None:
    there = {"CONTRACT_URL": site_url, "CONTRACT_PREFIX": "doctor:"}
    shown = manage("streamtasks_doctor", "--backend", "default", "--json", **there)
    assert shown.returncode == 0, shown.stderr
    [app] = json.loads(shown.stdout)["apps"]
    assert (app["app"], app["connected"]) == ("default", True)
    assert manage("streamtasks_doctor", "--backend", "default", "--strict", **there).returncode == 1
    missing = manage("streamtasks_doctor", "--backend", "nothing", **there)
    assert (missing.returncode, "TASKS has no alias 'nothing'" in missing.stderr) == (2, True), missing.stderr


def test_a_server_that_is_not_there() -> None:
    with closed_port() as url:
        shown = manage("streamtasks_doctor", "--backend", "default", CONTRACT_URL=url, CONTRACT_PREFIX="doctor:")
    assert shown.returncode == 3, shown.stdout + shown.stderr
