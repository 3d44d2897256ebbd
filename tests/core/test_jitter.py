"""What is left to chance neither follows a project's seed nor uses it up."""

from __future__ import annotations

import random

from streamtasks.stores.backoff import Backoff
from streamtasks.tasks.run_options import RunOptions


def test_a_seed_is_left_alone() -> None:
    options = RunOptions(retry_backoff_s=10.0, retry_jitter=True)
    before = random.getstate()
    drawn = set()
    for _ in range(2):
        random.seed(1)
        seeded = random.getstate()
        drawn.add((options.automatic_delay_s(3), Backoff(1.0, 10.0).next_s()))
        assert random.getstate() == seeded
    random.setstate(before)
    assert len(drawn) == 2
