"""What an autoscaler is told of a queue."""

from __future__ import annotations

import time
from typing import Any

import pytest

from streamtasks import StreamTasks
from streamtasks.exceptions import UnknownQueue
from streamtasks.operations.scale import desired_workers, scale
from streamtasks.protocol.keys import Keys
from tests.support.servers import client_of


@pytest.mark.parametrize(
    ("ready", "rate", "run_s", "slots", "wanted"),
    [
        (0, 0.0, 0.0, 4, 1),
        (0, 10.0, 0.1, 4, 1),  # one busy slot
        (0, 100.0, 0.1, 4, 3),  # ten busy slots
        (600, 100.0, 0.1, 4, 3),  # and one more for what waits
        (6000, 100.0, 0.1, 4, 5),
        (1_000_000, 0.0, 60.0, 1, 1_000_000),
    ],
)
def test_desired_workers(ready: int, rate: float, run_s: float, slots: int, wanted: int) -> None:
    assert desired_workers(ready, rate, run_s, slots, 60.0) == wanted


def test_a_queue(server_url: str) -> None:
    app = StreamTasks(server_url)
    task, store, keys = app.task(name="t")(print), app.store, Keys("streamtasks:", "u0")
    assert scale([store], "default")[1:3] == (False, 0)
    for number in range(6):
        task.apply_async(task_id=f"{number}")
    found = scale([store], "default")
    assert (found.active, found.desired, found.ready, found.backlog_s) == (True, 1, 6, None)
    minute = time.time_ns() // 60_000_000_000 - 1
    client, field = client_of(server_url), f"{minute % 60} default "
    counts: dict[Any, Any] = {field + "SUCCESS": 280, field + "FAILURE": 20, field + "ms": 600_000}
    client.hset(keys.counts(minute // 60), mapping=counts)
    found = scale([store], "default", 2.0)
    assert (found.rate, found.run_s, found.backlog_s) == (1.0, 2.0, 6.0)
    assert found.desired == 8, "two go on, and six finish what waits in two seconds"
    assert store.queue_counts("other", 5) == (0, 0)
    store.pause("default", "ann", "")
    assert scale([store], "default")[1:3] == (False, 0), "more workers would not help"
    with pytest.raises(UnknownQueue):
        scale([store], "")
