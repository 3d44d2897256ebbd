"""Tests of tasks without a server and without a worker. In this folder:

$ pytest

`pytest.ini` names the app; the fixture comes with streamtasks.
"""

from __future__ import annotations

from typing import Any

import orders


def test_a_reminder_in_a_week(streamtasks_memory: Any) -> None:
    task_id = orders.place(7)
    streamtasks_memory.assert_enqueued(orders.remind, args=[7], count=1)
    assert orders.sent == []
    streamtasks_memory.run_until_idle()  # the clock jumps to what is due
    assert orders.sent == ["order 7"]
    assert orders.app.get_result(task_id).get() == "order 7"
