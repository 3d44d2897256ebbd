"""An attempt leaves nothing to the garbage collection: cycles of each would cost a busy child a tenth of its time."""

from __future__ import annotations

import gc
import time
from weakref import ref

from streamtasks import StreamTasks
from streamtasks_workers.executor.runner import Runner
from tests.support.attempts import claimed, message


def test_what_was_prepared_goes_when_it_is_done() -> None:
    app = StreamTasks()
    app.task(name="task")(lambda *_: None)
    runner = Runner(app, "w")
    gc.collect()
    gc.disable()
    try:
        prepared = runner.prepare(claimed(message()), time.monotonic_ns(), lambda data: None)
        assert runner.run(prepared).state == "SUCCESS"
        gone = ref(prepared)
        del prepared
        assert gone() is None
    finally:
        gc.enable()
