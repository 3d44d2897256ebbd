"""Tests of tasks without a server and without a worker. In this folder:

$ pytest

`pytest.ini` names the app; the fixture comes with streamtasks.
"""

from __future__ import annotations

from typing import Any

import shop


def test_a_reminder_in_a_week(streamtasks_memory: Any) -> None:
    task_id = shop.place(7)
    streamtasks_memory.assert_enqueued(shop.remind, args=[7], count=1)
    assert shop.sent == []
    streamtasks_memory.run_until_idle()  # the clock jumps to what is due
    assert shop.sent == ["order 7"]
    assert shop.app.get_result(task_id).get() == "order 7"
