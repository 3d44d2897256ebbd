"""The pages of single things and what they change; whatever anybody has written is shown as text."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from django.test import Client

from contract.app import tasks
from streamtasks.operations import bulk
from streamtasks.protocol.json import dumps
from streamtasks.protocol.log_lines import LogLine, encode_line
from streamtasks.protocol.message import Message
from streamtasks.protocol.state import encode_progress
from streamtasks.stores.inspection_types import NewLog
from streamtasks.stores.types import Limit, NewMessage
from streamtasks_django.dashboard import urls as dashboard
from streamtasks_django.dashboard.access import ROLES
from tests.support.dashboard_site import (
    BAD,
    ROLES_GIVEN,
    address,
    any_workflow,
    backend,
    beat,
    changes,
    failed,
    mounted,
    page,
    site,
    supervisor,
    tag,
)
from tests.support.manual_consumer import Consumer, outcome_of, report_progress

__all__ = ["mounted", "site"]

pytestmark = pytest.mark.usefixtures("server_and_memory")

BIG = 2**63 + 1


def bad_task() -> str:
    """Enqueue a call whose name, arguments and headers are markup, as somebody with the server's password can."""
    task_id = f"bad-{tag()}"
    message = Message(id=task_id, task=BAD, args=[BAD, BIG], kwargs={BAD: BAD}, headers={BAD: BAD, "replay_of": "x-1"})
    settings = backend().store_settings
    backend().stores.plain.enqueue(
        [NewMessage(task_id, "default", 0, message.encode(settings.max_payload_bytes, settings.wire))]
    )
    return task_id


def everything_bad(hand: Consumer) -> dict[str, dict[str, str]]:
    """Fill a store with markup wherever somebody can put it; return the parts of addresses and queries of pages."""
    error = {"e": {"type": BAD, "message": BAD, "traceback": BAD}}
    task_id = bad_task()
    [claimed] = hand.claim(1)
    line = encode_line(LogLine(1, 1, BAD, BAD, BAD), 10_000)
    asyncio.run(supervisor().append_logs([NewLog(task_id, line)], "nonce"))
    hand.settle(outcome_of(claimed, "DEAD", dumps(error))._replace(note=BAD))
    failed(hand, BAD, message="<script>alert(1)</script>")
    report = {"kind": BAD, "attempt": 1, "worker": BAD, "started": 1, "finished": 2, "error": error["e"]}
    tasks.echo.enqueue(BAD)
    [claimed] = hand.claim(1)
    hand.settle(outcome_of(claimed, "RETRY")._replace(note=json.dumps(report)))
    tasks.echo.enqueue(BAD)
    hand.succeed(BAD)
    backend().schedules.create(BAD, tasks.echo, 60, [BAD, BIG], {"word": BAD})
    backend().schedules.run_now(BAD)
    beat(BAD, host=BAD, app=BAD, request=BAD, queues=[BAD], queue_mode="only")
    backend().stores.plain.pause("default", BAD, BAD)
    made = bulk.plan(backend().owner, "retry", _where(), actor=BAD, reason=BAD)
    key = backend().stores.plain.dead_letters()[0].cursor
    return {
        "task": {"task_id": task_id},
        "queue": {"name": "default"},
        "worker": {"name": BAD},
        "schedule": {"name": BAD},
        "letter": {"key": key},
        "bulk": {"bulk_id": made.id},
        "workflow": {"workflow_id": any_workflow()},
        "raw": {"task_id": task_id},
        "letter_raw": {"key": key},
    }


def _where() -> Any:
    from streamtasks.operations.filters import TaskFilter

    return TaskFilter(state="failed")


def test_whatever_is_shown_on_any_page_is_text(hand: Consumer) -> None:
    values = everything_bad(hand)
    shown = set()
    for route in dashboard.urlpatterns:
        name = str(route.name)
        if name.startswith("api_") or changes(route):
            continue
        parts = values.get(name, {})
        response = Client().get(address(name, **parts), {**parts, "q": "", "note": BAD, "cursor": ""})
        text = response.content.decode()
        assert response.status_code == 200, (name, text[-1500:])
        if name in ("raw", "letter_raw"):
            assert response["Content-Type"] == "application/json"
            assert re.fullmatch(r'attachment; filename="[a-z_]+\.json"', response["Content-Disposition"])
            assert json.loads(text)["args"] == [BAD, BIG]
            continue
        assert "<script>" not in text, name
        assert "alert(&#x27;x" in text or BAD not in text, name
        assert "</textarea>{{" not in text, name
        if "&lt;script&gt;" in text:
            shown.add(name)
    assert shown >= {"task", "tasks", "dead_letters", "letter", "worker", "workers", "schedule", "schedules", "queue",
                     "queues", "bulk", "bulk_operations", "overview"}  # fmt: skip
    assert str(BIG) in page("task", task_id=values["task"]["task_id"])
    for name in ("tasks", "dead_letters"):
        response = Client().get(address(name), {"q": f"state:{BAD}"})
        assert response.status_code == 400
        assert b"<script>" not in response.content


def test_a_running_task_shows_its_states_progress_and_logs(hand: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamtasks_django.dashboard.pages.task._STACK_S", 0.1)
    result: Any = tasks.echo.enqueue("word")
    assert "Then: <span" in page("task", task_id=result.id)
    [claimed] = hand.claim(1)
    report_progress(supervisor(), claimed, encode_progress("PROGRESS", {"current": 3, "total": 4}), tag())
    line = encode_line(LogLine(1, 1, "WARNING", "shop", "a line of it"), 1000)
    asyncio.run(supervisor().append_logs([NewLog(result.id, line)], "nonce"))
    text = page("task", task_id=result.id)
    assert "3 of 4" in text
    assert 'aria-current="step"' in text
    assert "a line of it" in text
    stack = Client().post(address("stack", task_id=result.id))
    assert stack.status_code == 200
    assert b"Where it is in its code" in stack.content
    ROLES_GIVEN.discard("see_arguments")
    text = page("task", task_id=result.id)
    assert "a line of it" not in text
    assert "1 line, hidden" in text
    assert "word" not in text.replace("password", "")


def test_an_edited_call_is_enqueued_once(hand: Consumer) -> None:
    task_id, client = failed(hand, "wrong"), Client()
    assert "wrong" in page("task", task_id=task_id)
    form = {"edited": "1", "args": f"[{BIG}]", "kwargs": '{"word": "right"}', "reason": "typo"}
    for wrong in ({"args": "nothing"}, {"kwargs": "[]"}, {"reason": ""}):
        assert client.post(address("retry", task_id=task_id), form | wrong).status_code == 400
    made = {client.post(address("retry", task_id=task_id), form)["Location"] for _ in range(2)}
    plain = client.post(address("retry", task_id=task_id), {"reason": "as it is"})["Location"]
    assert len(made) == 1
    assert plain not in made
    text = client.get(made.pop()).content.decode()
    assert f"{BIG}, word=&#x27;right&#x27;" in text
    ROLES_GIVEN.discard("see_arguments")
    assert client.post(address("retry", task_id=task_id), form).status_code == 400


def test_long_arguments_are_cut_until_they_are_asked_for() -> None:
    long = "x" * 900_000
    result: Any = tasks.echo.enqueue(long, BIG)
    cut, raw = page("task", task_id=result.id), address("raw", task_id=result.id)
    assert len(cut) < 60_000
    assert "Show all of the arguments" in cut
    assert re.search(r"as a file</a> <span class=.quiet.>\(\d+\.\d\xa0KB\)", cut)
    assert long in page("task", {"all": "1"}, task_id=result.id)
    assert json.loads(Client().get(raw).content)["args"] == [long, BIG]
    larger: Any = tasks.echo.enqueue("y" * 5_000_000)
    assert len(page("task", task_id=larger.id)) < 60_000
    assert len(page("task", {"all": "1"}, task_id=larger.id)) < 1_100_000
    assert json.loads(Client().get(address("raw", task_id=larger.id)).content)["args"] == ["y" * 5_000_000]
    assert len(page("tasks", {"q": "state:queued"})) < 60_000
    ROLES_GIVEN.discard("see_arguments")
    text = page("task", {"all": "1"}, task_id=result.id)
    assert long not in text
    assert raw not in text
    assert Client().get(raw).status_code == 403


def test_the_call_of_a_dead_letter_can_be_saved_whatever_its_size(hand: Consumer) -> None:
    long = "x" * 5_000_000
    result: Any = tasks.echo.enqueue(long, word=BIG)
    [claimed] = hand.claim(1)
    hand.settle(outcome_of(claimed, "DEAD", dumps({"e": {"type": "E", "message": "m"}}))._replace(note="crashed"))
    key = {"key": backend().stores.plain.dead_letters()[0].cursor}
    text = page("letter", key)
    assert len(text) < 60_000
    assert re.search(r"as a file</a> <span class=.quiet.>\(\d+\.\d\xa0MB\)", text)
    [found] = re.findall(r'href="([^"]+)" download', text)
    saved = json.loads(Client().get(found.replace("&amp;", "&")).content)
    assert (saved["id"], saved["reason"]) == (result.id, "crashed")
    assert (saved["args"], saved["kwargs"]) == ([long], {"word": BIG})
    ROLES_GIVEN.discard("see_arguments")
    assert "download" not in page("letter", key)
    assert Client().get(address("letter_raw"), key).status_code == 403


def test_the_filter_bar_has_the_grammar_of_the_command_line(hand: Consumer) -> None:
    ids = [failed(hand, "one"), failed(hand, "two")]
    text = page("tasks", {"q": 'state:failed arg.0="one"'})
    assert ids[0] in text
    assert ids[1] not in text
    assert "state:failed" in text
    old = page("tasks", {"state": "failed", "queue": "default"})
    assert ids[1] in old
    wrong = Client().get(address("tasks"), {"q": "nokey:x"})
    assert wrong.status_code == 400
    assert b"there is no key" in wrong.content
    dead = Client().get(address("tasks"), {"q": "state:dead"})
    assert dead["Location"].startswith("/any/prefix/default/dead-letters/")
    ROLES_GIVEN.discard("see_arguments")
    assert Client().get(address("tasks"), {"q": 'arg.0="one"'}).status_code == 400
    assert ids[0] in page("tasks", {"q": "state:failed"})


def test_limits_say_who_waits(hand: Consumer) -> None:
    assert "No task waits for a rate limit" in page("limits")
    settings, limit = backend().store_settings, Limit(BAD, 3_600_000_000)
    for number in range(3):
        message = Message(id=f"limited{number}-{tag()}", task="shop.mail", args=[number])
        envelope = message.encode(settings.max_payload_bytes, settings.wire)
        backend().stores.plain.enqueue([NewMessage(message.id, "default", 0, envelope, limit=limit)])
    hand.claim(10)
    text = page("limits")
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert f"limited2-{tag()}" in text
    assert "It allows one start every 1 h." in text


def test_the_doctor_says_what_it_finds() -> None:
    assert "Doctor</h1>" in page("doctor")


def test_no_route_answers_another_host_or_site() -> None:
    strict = Client(enforce_csrf_checks=True)
    for route in dashboard.urlpatterns:
        name = str(route.name)
        if name.startswith("api_"):
            continue
        forged = Client().get(address(name), headers={"host": "evil.example"})
        assert forged.status_code == 400, name
        if changes(route):
            assert strict.post(address(name), {"reason": "x"}).status_code == 403, name


def test_nothing_leads_elsewhere() -> None:
    backend().schedules.create("tick", tasks.echo, 60)
    client = Client()
    for name, form in (
        ("pause", {"queue": "default"}),
        ("schedule_pause", {"name": "tick"}),
        ("schedule_run", {"name": "tick"}),
    ):
        elsewhere = {"reason": "x\r\nSet-Cookie: a=b", "next": "//evil.example", "note": "//evil.example"}
        answer = client.post(address(name) + "?next=//evil.example", form | elsewhere)
        assert answer.status_code == 302
        assert answer["Location"].startswith("/any/prefix/default/"), name
        assert "Set-Cookie: a" not in str(answer.headers)
    assert "evil" not in page("overview", {"note": "//evil.example"})
    assert set(ROLES_GIVEN) == set(ROLES)
