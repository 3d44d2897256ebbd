"""What operators change on the dashboard: bulk operations, pauses, workers, schedules, workflows."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.test import Client

from contract.app import tasks
from streamtasks.operations import bulk_steps
from tests.support.dashboard_site import BAD, address, any_workflow, backend, beat, failed, mounted, page
from tests.support.manual_consumer import Consumer, outcome_of

pytestmark = pytest.mark.usefixtures("server_and_memory")


@pytest.fixture(autouse=True)
def _mounted(server_and_memory: None) -> Iterator[None]:
    with mounted():
        yield


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
    workflow_id, client = any_workflow(), Client()
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
