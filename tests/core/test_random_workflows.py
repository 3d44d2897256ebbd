"""Random workflows end as they must."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from streamtasks import (
    chain,
    chord,
    group,
)
from streamtasks.exceptions import ParentFailed
from tests.support.workflow_site import WorkflowSite

if TYPE_CHECKING:
    from streamtasks.tasks.step import Step


def random_step(site: WorkflowSite, rng: random.Random, depth: int) -> tuple[Step, Any]:
    """A step, and what it returns; `Failed` if it fails."""
    kind = rng.random()
    if depth == 0 or kind < 0.3:
        return random_leaf(site, rng)
    if kind < 0.6:
        parts = [random_step(site, rng, depth - 1) for _ in range(rng.choice((1, 1, 2, 3)))]
        value = [part[1] for part in parts]
        return group(part[0] for part in parts), Failed if Failed in value else value
    header = [random_step(site, rng, depth - 1) for _ in range(rng.choice((0, 1, 2, 3)))]
    values = [part[1] for part in header]
    body = rng.choice((site.same.s(), site.flaky.s()))
    return chord([part[0] for part in header], body), Failed if Failed in values else values


class Failed:
    """Stands for what fails."""


def random_leaf(site: WorkflowSite, rng: random.Random) -> tuple[Step, Any]:
    value = rng.randrange(100)
    kind = rng.random()
    if kind < 0.06:
        return site.boom.s(), Failed
    if kind < 0.2:
        return site.flaky.s(value), value
    return rng.choice((site.same.s(value), chain(site.same.s(value), site.same.s()))), value


@pytest.mark.parametrize("seed", range(6))
def test_random_ones_end_as_they_must(site: WorkflowSite, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(4):
        step, expected = random_step(site, rng, 3)
        canvas = chain(step, site.same.s())
        result = canvas.apply_async()
        site.run()
        assert result.workflow.ready()
        if expected is Failed:
            with pytest.raises(ParentFailed):
                result.get(timeout=0)
        else:
            assert result.get(timeout=0) == expected, canvas
