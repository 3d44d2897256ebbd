"""All that crosses a store is signed or encrypted: in memory, where all of it can be read."""

from __future__ import annotations

from typing import Any

import pytest

from streamtasks import StreamTasks, chain, chord, group
from streamtasks.schedules import every
from streamtasks_workers.testing.in_process import InProcessWorker
from tests.support.sealed_app import MARKER, SEEN, WAYS, app_of, everything, server


def unread(app: StreamTasks) -> bool:
    """Whether nothing in the store shows the marker; of what is only signed, nothing is to be hidden."""
    return not app.settings.encryption_keys or MARKER not in everything()


def test_outcomes_of_all_kinds(app: StreamTasks, worker: InProcessWorker) -> None:
    results = {name: app.tasks[name].enqueue(MARKER) for name in app.tasks}
    headed = app.tasks["echo"].apply_async(({"deep": [MARKER] * 500},), headers={"h": MARKER})
    assert unread(app)
    worker.run_until_idle()
    assert unread(app)
    assert results["echo"].get(0) == [MARKER]
    assert headed.get(0) == [{"deep": [MARKER] * 500}]
    assert results["quiet"].get(0) is None
    assert results["skip"].get(0) is None
    with pytest.raises(ValueError, match=MARKER):
        results["fail"].get(0)
    assert results["again"].get(0) == 3
    [snapshot] = app.store.read([results["again"].id])
    assert snapshot is not None
    assert [report["error"]["message"] for report in snapshot.reports] == [MARKER, MARKER]
    progress, inside = SEEN
    assert progress == {"text": MARKER}
    assert MARKER not in inside or not app.settings.encryption_keys


def test_links_and_workflows(app: StreamTasks, worker: InProcessWorker) -> None:
    echo, join, fail = app.tasks["echo"], app.tasks["join"], app.tasks["fail"]
    linked = echo.apply_async((MARKER,), link=[echo.s(2), chain(echo.s(3), echo.s(4)), group(echo.s(5), echo.s(6))])
    failed = fail.apply_async((MARKER,), link_error=[echo.s("handler")])
    line = chain(echo.s(MARKER), echo.s(1), group(echo.s(2), echo.s(3)), join.s(4)).apply_async()
    fan = chord([echo.s(MARKER, number) for number in range(5)], join.s("body")).apply_async()
    nested = group(group(echo.s(MARKER), echo.s(2)), echo.s(3)).apply_async()
    part = chord([echo.s(MARKER), fail.s(MARKER), echo.s(3)], join.s(), on_error="collect").apply_async()
    assert unread(app)
    worker.run_until_idle()
    assert unread(app)
    first, _, several = linked.children
    assert app.get_result(first).get(0) == [[MARKER], 2]
    assert app.get_group(several).get(0) == [[[MARKER], 5], [[MARKER], 6]]
    assert app.get_result(failed.children[0]).get(0)[0] == failed.id
    assert line.get(0) == [[[[[MARKER], 1], 2], [[[MARKER], 1], 3]], 4]
    assert fan.get(0) == [[[MARKER, number] for number in range(5)], "body"]
    assert nested.get(0) == [[[MARKER], [2]], [3]]
    assert [part.get(0)[0][place] for place in (0, 2)] == [[MARKER], [3]]
    assert part.get(0)[0][1]["message"] == MARKER
    assert app.dead_letters() == []


def test_failed_nodes_run_again_beside_known_results(app: StreamTasks, worker: InProcessWorker) -> None:
    works = False

    @app.task(name="sometimes")
    def sometimes(value: Any) -> Any:
        if not works:
            raise ValueError(value)
        return value

    echo = app.tasks["echo"]
    fan = chord([echo.s(1), sometimes.s(MARKER), chain(echo.s(2), sometimes.s())], app.tasks["join"].s())
    first = fan.apply_async()
    worker.run_until_idle()
    works = True
    again = first.workflow.retry_failed()
    worker.run_until_idle()
    assert again.get(0) == [[[1], MARKER, [2]]]
    assert unread(app)


def test_schedules(app: StreamTasks, worker: InProcessWorker, way: dict[str, Any]) -> None:
    echo = app.tasks["echo"]
    app.schedules.create("nightly", echo.s(MARKER), every(60))
    assert unread(app)
    assert app.schedules.get("nightly").args == (MARKER,)
    [stored] = app.store.schedules(["nightly"])
    assert stored is not None
    app.schedules.create("nightly", echo.s(MARKER), every(60))
    assert app.store.schedules(["nightly"]) == [stored]  # to the byte: nothing was changed
    server().clock.advance(61)
    ran = worker.run_ready()
    assert [(one.task, one.state) for one in ran] == [("echo", "SUCCESS")]
    assert app.get_result(ran[0].id).get(0) == [MARKER]


def test_what_others_schedule_without_a_key_is_not_fired(
    app: StreamTasks, worker: InProcessWorker, caplog: pytest.LogCaptureFixture
) -> None:
    outside = app_of()
    outside.schedules.create("forged", outside.tasks["echo"].s(1), every(60))
    app.schedules.create("own", app.tasks["echo"].s(2), every(60))
    assert "is not signed, and require_signed is on" in app.schedules.get("forged").error
    server().clock.advance(61)
    assert [app.get_result(one.id).get(0) for one in worker.run_ready()] == [[2]]
    assert "the schedule 'forged' cannot be fired by this worker" in caplog.text
    moving = app_of(**{**WAYS["signed"], "signing_keys": app.settings.signing_keys})
    if moving.settings.signing_keys:  # a process that does not require it yet signs it by any change
        moving.schedules.update("forged")
        if not app.settings.encryption_keys:
            assert app.schedules.get("forged").error == ""
