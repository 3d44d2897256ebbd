"""The pages of single things and what they change; whatever anybody has written is shown as text."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.tasks import task_backends
from django.test import Client

from contract.app import tasks
from streamtasks.operations import bulk, bulk_steps
from streamtasks.protocol.json import dumps
from streamtasks.protocol.log_lines import LogLine, encode_line
from streamtasks.protocol.message import Message
from streamtasks.protocol.state import encode_progress
from streamtasks.stores.inspection_types import NewLog
from streamtasks.stores.types import Limit, NewMessage
from streamtasks_django import chain, group
from streamtasks_django.dashboard import urls as dashboard
from streamtasks_django.dashboard.access import ROLES
from tests.support.dashboard_site import ROLES_GIVEN, address, changes, failed, mounted
from tests.support.manual_consumer import Consumer, outcome_of, report_progress
from tests.support.users import as_worker

pytestmark = pytest.mark.usefixtures("server_and_memory")

BAD = "<script>alert('x')</script>\"'&</pre></textarea>{{ 1 }}"
BIG = 2**63 + 1


@pytest.fixture(autouse=True)
def _mounted(server_and_memory: None) -> Iterator[None]:
    with mounted():
        yield


def backend() -> Any:
    return task_backends["default"]


def tag() -> str:
    found: str = backend().stores.plain.tags[0]
    return found


def supervisor() -> Any:
    return as_worker(backend().stores.asynchronous)


def beat(name: str, **about: Any) -> None:
    """Let a worker give a sign of life."""
    asyncio.run(supervisor().beat(tag(), name, {"queue_mode": "all", "children": 2, **about}))


def page(name: str, /, query: dict[str, str] | None = None, **values: str) -> str:
    response = Client().get(address(name, **values), query or {})
    assert response.status_code == 200, (name, response.content.decode()[-2000:])
    return response.content.decode()


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
        "workflow": {"workflow_id": _workflow()},
    }


def _where() -> Any:
    from streamtasks.operations.filters import TaskFilter

    return TaskFilter(state="failed")


def _workflow() -> str:
    echo: Any = tasks.echo
    result: Any = chain(echo.s(BAD), group(echo.s(1), echo.s(2)), echo.s()).apply_async()
    found: str = str(result.id).rpartition(".w")[0]
    return found


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
    result: Any = tasks.echo.enqueue(long)
    cut = page("task", task_id=result.id)
    assert len(cut) < 60_000
    assert "Show all of the arguments" in cut
    assert long in page("task", {"all": "1"}, task_id=result.id)
    assert len(page("tasks", {"q": "state:queued"})) < 60_000
    ROLES_GIVEN.discard("see_arguments")
    assert long not in page("task", {"all": "1"}, task_id=result.id)


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


def test_all_that_match_are_planned_applied_and_undone(hand: Consumer) -> None:
    for number in range(3):
        tasks.echo.enqueue(number)
        [claimed] = hand.claim(1)
        hand.settle(outcome_of(claimed, "DEAD", b"{}")._replace(note="crashed"))
    client = Client()
    form = {"filter": "state:dead", "operation": "discard", "reason": "old"}
    assert client.post(address("bulk_plan"), form | {"operation": "nothing"}).status_code == 400
    plan = client.post(address("bulk_plan"), form)["Location"]
    text = client.get(plan).content.decode()
    assert "Discard 3 tasks" in text
    assert "PLANNED" in text
    assert len(backend().stores.plain.dead_letters()) == 3
    bulk_id = plan.partition("/bulk/")[2].partition("/")[0]
    client.post(address("bulk_apply", bulk_id=bulk_id), {"reason": "old"})
    bulk_steps.run(backend().owner, bulk_id)
    text = client.get(plan).content.decode()
    assert "FINISHED" in text
    assert "3 applied" in text
    again = client.post(address("bulk_apply", bulk_id=bulk_id), {"reason": "old"})
    assert again.status_code == 400
    assert b"FINISHED" in again.content, "the second operator hears what it is"
    client.post(address("bulk_undo", bulk_id=bulk_id), {"reason": "too fast"})
    bulk_steps.run(backend().owner, bulk_id)
    assert len(backend().stores.plain.dead_letters()) == 3
    assert "undo" in page("audit")


def test_what_is_selected_is_done_and_the_second_operator_hears_it(hand: Consumer) -> None:
    ids = [failed(hand, "one"), failed(hand, "two")]
    client, form = Client(), {"operation": "retry", "key": ids, "reason": "address added"}
    assert client.post(address("selected"), form | {"key": []}).status_code == 400
    assert b"2 of 2 done" in client.post(address("selected"), form).content
    open_ids = [str(tasks.echo.enqueue(number).id) for number in range(2)]
    revoke = {"operation": "revoke", "key": open_ids, "reason": "wrong"}
    assert b"2 of 2 done" in client.post(address("selected"), revoke).content
    second = client.post(address("selected"), revoke).content
    assert b"0 of 2 done" in second
    assert b"it had ended before" in second


@pytest.mark.parametrize("what", [{"queue": "default"}, {"everything": "1"}, {"task": "contract.app.tasks.echo"}])
def test_pauses_are_said_to_the_second_operator(what: dict[str, str]) -> None:
    client, form = Client(), {**what, "reason": "mending"}
    assert "note=paused" in client.post(address("pause"), form)["Location"]
    second = client.post(address("pause"), form, follow=True).content
    assert b"It was paused before" in second
    assert b"mending" in second
    assert "note=resumed" in client.post(address("resume"), form)["Location"]
    assert b"It was not paused" in client.post(address("resume"), form, follow=True).content
    assert client.post(address("pause"), {"reason": "x"}).status_code == 400


def test_a_purge_is_planned_and_an_empty_queue_forgotten() -> None:
    for number in range(3):
        tasks.echo.enqueue(number)
    client, form = Client(), {"queue": "default", "reason": "wrong ones"}
    assert client.post(address("forget"), form).status_code == 400, "it is not empty"
    plan = client.post(address("purge"), form)["Location"]
    assert b"Revoke 3 tasks" in client.get(plan).content
    bulk_id = plan.partition("/bulk/")[2].partition("/")[0]
    client.post(address("bulk_apply", bulk_id=bulk_id), {"reason": "wrong ones"})
    bulk_steps.run(backend().owner, bulk_id)
    assert "Nothing waits here" in page("queue", {"name": "default"})


def test_a_worker_is_drained() -> None:
    beat("w-1", host="here")
    client, form = Client(), {"name": "w-1", "reason": "deploy"}
    text = page("worker", {"name": "w-1"})
    assert "2 children run nothing" in text
    assert "here" in text
    answer = client.post(address("drain"), form)
    if answer.status_code == 302:  # a store in memory has no workers elsewhere
        assert b"The worker was asked to" in client.get(answer["Location"]).content
    assert client.post(address("stop"), form | {"name": "nobody"}).status_code in (404, 501)
    assert "drain" in page("audit")


def test_schedules_are_shown_paused_and_run() -> None:
    backend().schedules.create("nightly", tasks.echo, "0 3 * * *", ["word"])
    client, form = Client(), {"name": "nightly", "reason": "closed"}
    backend().schedules.create("each minute", tasks.echo, 60)
    assert "The next 24 hours" in page("schedules")
    assert "Several times each hour: each minute" in page("schedules")
    assert page("schedule", {"name": "nightly"}).count(" UTC</li>") == 10
    assert "note=paused" in client.post(address("schedule_pause"), form)["Location"]
    assert b"It was paused before" in client.post(address("schedule_pause"), form, follow=True).content
    assert "paused" in page("schedules")
    ran = client.post(address("schedule_run"), form)
    assert "/tasks/" in ran["Location"]
    assert b"word" in client.get(ran["Location"]).content
    assert "note=resumed" in client.post(address("schedule_resume"), form)["Location"]
    assert b"It was not paused" in client.post(address("schedule_resume"), form, follow=True).content
    gone = client.post(address("schedule_run"), form | {"name": BAD})
    assert gone.status_code == 404
    assert b"<script>" not in gone.content
    audit = page("audit")
    assert [word for word in ("pause schedule", "resume schedule", "run schedule") if word not in audit] == []


def test_a_workflow_is_drawn_listed_and_revoked(hand: Consumer) -> None:
    workflow_id, client = _workflow(), Client()
    hand.succeed()
    text = page("workflow", workflow_id=workflow_id)
    assert text.count("<rect") == 4
    assert "1 of 4" in text
    assert "SUCCESS" in text
    assert re.search(r"<td>2, 3</td>", text), "the last one comes after the group"
    assert address("workflow", workflow_id=workflow_id) in page("task", task_id=f"{workflow_id}.w0")
    done = client.post(address("workflow_revoke", workflow_id=workflow_id), {"reason": "wrong"})
    assert "note=revoked" in done["Location"]
    assert "revoke workflow" in page("audit")


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
