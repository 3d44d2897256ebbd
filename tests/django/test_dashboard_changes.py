"""What operators change on the dashboard: bulk operations, pauses, workers, schedules, workflows."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from contract.app import tasks
from streamtasks.operations import bulk_steps
from streamtasks_django import group
from tests.support.dashboard_site import (
    BAD,
    ROLES_GIVEN,
    address,
    any_workflow,
    backend,
    beat,
    failed,
    mounted,
    page,
    site,
)
from tests.support.manual_consumer import Consumer, outcome_of

__all__ = ["mounted", "site"]

pytestmark = pytest.mark.usefixtures("server_and_memory")


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
    assert b"<dt>Applied</dt>" in client.get(plan).content
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
    second = client.post(address("bulk_apply", bulk_id=bulk_id), {"reason": "me, too"}, follow=True).content
    assert b"It had been asked before" in second
    assert b"wrong ones</dd>" in second
    bulk_steps.run(backend().owner, bulk_id)
    assert "Nothing waits here" in page("queue", {"name": "default"})


def test_a_worker_plans_where_one_lives() -> None:
    """A request of a browser does not wait for what a filter means."""
    beat("planner")
    tasks.echo.enqueue(1)
    plan = Client().post(address("purge"), {"queue": "default", "reason": "wrong ones"})["Location"]
    assert b"REQUESTED" in Client().get(plan).content
    bulk_steps.BulkRunner(backend().owner).run_once()
    assert b"Revoke 1 task " in Client().get(plan).content
    assert b"PLANNED" in Client().get(plan).content


def test_a_worker_is_drained() -> None:
    beat("w-1", host="here")
    client, form = Client(), {"name": "w-1", "reason": "deploy"}
    text = page("worker", {"name": "w-1"})
    assert "2 children run nothing" in text
    assert "here" in text
    answer = client.post(address("drain"), form)
    if answer.status_code == 302:  # a store in memory has no workers elsewhere
        assert b"The worker was asked to" in client.get(answer["Location"]).content
        second = client.post(address("drain"), form | {"reason": "me, too"}, follow=True).content
        assert b"It had been asked before" in second
        assert "Asked to drain" in page("worker", {"name": "w-1"})
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


def test_a_schedule_is_changed_where_it_was_made() -> None:
    schedules = backend().schedules
    schedules.create("nightly", tasks.echo, "0 3 * * *", [2**60])
    client, form = Client(), {"name": "nightly", "reason": "later"}
    text = page("schedule", {"name": "nightly"})
    assert 'name="due" value="0 3 * * *"' in text
    assert f"[{2**60}]</textarea>" in text
    now = {"due": "0 3 * * *", "zone": schedules.get("nightly").rule.tz, "args": f"[{2**60}]", "kwargs": "{}"}
    edit = address("schedule_edit")
    assert "note=was_so" in client.post(edit, form | now)["Location"]
    assert "note=done" in client.post(edit, form | now | {"due": "30 4 * * 1-5", "zone": "Europe/Berlin"})["Location"]
    assert repr(schedules.get("nightly").rule).endswith("tz='Europe/Berlin')")
    client.post(edit, form | now | {"due": "90", "zone": "", "args": f"[{2**60 + 1}]"})
    changed = schedules.get("nightly")
    assert (repr(changed.rule), changed.args) == ("every(90)", (2**60 + 1,))
    for wrong in ({"due": "soon"}, {"args": "{}"}, {"due": "0 3 * * *", "zone": "Nowhere"}):
        assert client.post(edit, form | now | wrong).status_code == 400, wrong
    assert "update schedule" in page("audit")
    ROLES_GIVEN.discard("see_arguments")
    assert "<textarea" not in page("schedule", {"name": "nightly"})
    assert client.post(edit, form | now).status_code == 400


def test_what_failed_of_a_workflow_is_run_again(hand: Consumer) -> None:
    echo: Any = tasks.echo
    result: Any = group(echo.s(1), echo.s(2)).apply_async()
    workflow_id, client = str(result.workflow.id), Client()
    again = {"reason": "mended"}
    assert client.post(address("workflow_retry", workflow_id=workflow_id), again).status_code == 400, "it has not ended"
    hand.fail(LookupError("no address"))
    hand.succeed()
    assert "Run what failed again" in page("workflow", workflow_id=workflow_id)
    new = client.post(address("workflow_retry", workflow_id=workflow_id), again)["Location"]
    assert workflow_id not in new
    assert b"0 of 1" in client.get(new).content
    assert "mended</dd>" in page("workflow", workflow_id=workflow_id), "who comes second sees that it was run again"
    hand.succeed()


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
