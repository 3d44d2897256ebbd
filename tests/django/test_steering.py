"""Operators of a Django project: commands of manage.py."""

from __future__ import annotations

import json

from tests.support.django_site import manage


def test_manage_py_has_all_commands(site_url: str) -> None:
    there = {"CONTRACT_URL": site_url, "CONTRACT_PREFIX": "steering:"}
    paused = manage("streamtasks", "queues", "pause", "mails", "--backend", "default", "--reason", "test", **there)
    assert (paused.returncode, paused.stdout) == (0, "mails: paused\n"), paused.stderr
    shown = manage("streamtasks", "status", "--backend", "default", "--json", **there)
    [pause] = json.loads(shown.stdout)["pauses"]
    assert (pause["queue"], pause["reason"]) == ("mails", "test")
    unknown = manage("streamtasks", "show", "nothing", "--backend", "default", **there)
    assert (unknown.returncode, "No task nothing is known" in unknown.stderr) == (1, True), unknown.stderr
