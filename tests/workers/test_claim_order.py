"""The order of claims over ten masters, by simulation: children and keepers choose and look by the real code."""

from __future__ import annotations

from collections import Counter
from statistics import mean
from typing import TYPE_CHECKING

import pytest

from streamtasks_workers.executor import shard_choice
from tests.support.claim_model import BATCH_NS, LINK_NS, MS, Simulation
from tests.support.modelled_shard import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable

MASTERS, SHARDS = 10, 30
STALE_NS = 50 * MS


@pytest.fixture
def simulate(monkeypatch: pytest.MonkeyPatch, seed: int) -> Callable[..., Simulation]:
    def make(
        *, shards: int = SHARDS, workers: int = 4, children: int = 5, task_ns: int = MS, **more: float
    ) -> Simulation:
        return Simulation(
            monkeypatch,
            masters=MASTERS,
            shards=shards,
            workers=workers,
            children=children,
            task_ns=task_ns,
            seed=seed,
            **more,
        )

    return make


def fill(simulation: Simulation, count: int, priority: int = 0) -> None:
    """Enqueue so many messages on each shard."""
    for shard in range(len(simulation.shards)):
        for _ in range(count):
            simulation.enqueue(shard, priority)


def arrivals(simulation: Simulation, per_s: float, priorities: list[int]) -> None:
    """Let messages arrive at random from now on, on any shard."""

    def arrive() -> None:
        simulation.enqueue(simulation.random.randrange(len(simulation.shards)), simulation.random.choice(priorities))
        simulation.after(int(simulation.random.expovariate(per_s) * 1e9), arrive)

    arrive()


def masters_at_work(simulation: Simulation, of_ns: int = 10 * MS) -> float:
    """Return how many masters get claims in a time of this length, on average."""
    seen = {(claim.done_ns // of_ns, simulation.master_of[claim.shard]) for claim in simulation.claims}
    return mean(Counter(time for time, _ in seen).values())


@pytest.mark.parametrize("shards", [16, SHARDS, 64])
def test_no_shard_starves_and_children_spread(
    simulate: Callable[..., Simulation], figure: Callable[[str], None], shards: int
) -> None:
    simulation = simulate(shards=shards)
    fill(simulation, 40_000 // shards + 500)
    begun_ns = simulation.now_ns
    simulation.run(2_000 * MS)
    claims = simulation.claims
    children = len({claim.child for claim in claims})
    assert children == 20
    of_shard = [[at for at, claim in enumerate(claims) if claim.shard == shard] for shard in range(shards)]
    assert all(of_shard)
    most = max(
        after - before for ats in of_shard for before, after in zip([-1, *ats], [*ats, len(claims)], strict=True)
    )
    waits_ns = [
        shard.longest_wait_ns([claims[at].done_ns for at in ats], simulation.now_ns, 0)
        for shard, ats in zip(simulation.shards, of_shard, strict=True)
    ]
    # Each child comes round all shards: a shard waits for one round at most, wherever the others are.
    stay = shard_choice.STAY_NS // BATCH_NS + 2
    assert most <= shards * stay * children
    assert max(waits_ns) <= shards * (shard_choice.STAY_NS + 2 * BATCH_NS)
    per_s = sum(len(claim.priorities) for claim in claims) / ((simulation.now_ns - begun_ns) / 1e9)
    at_work = masters_at_work(simulation)
    figure(
        f"{shards} shards, 20 children, backlog everywhere: longest without a claim {max(waits_ns) / MS:.0f} ms, "
        f"{most} claims; {at_work:.1f} of {MASTERS} masters at work in 10 ms; {per_s:,.0f} of 20,000 tasks/s"
    )
    assert at_work > 6.5, "they go from master to master together"
    assert per_s > 19_000


def out_of_order(simulation: Simulation) -> list[str]:
    """Return the claims that took a message while another shard had a better one for all of `STALE_NS`."""
    found = []
    for claim in simulation.claims:
        worst = min(claim.priorities)
        for place, shard in enumerate(simulation.shards):
            other = min(shard.bests(claim.decided_ns - STALE_NS, claim.decided_ns))
            if other > worst and place != claim.shard:
                found.append(f"at {claim.decided_ns}: {worst} of {claim.shard}, {other} on {place}")
    return found


@pytest.mark.parametrize("task_ns", [MS, 20 * MS], ids=["1ms", "20ms"])
def test_the_best_priority_goes_first_within_50_ms(
    simulate: Callable[..., Simulation], figure: Callable[[str], None], task_ns: int
) -> None:
    """More comes than 20 children can do; of what stays behind, it is always the worst."""
    simulation = simulate(task_ns=task_ns)
    arrivals(simulation, 1.2 * 20 * 1e9 / task_ns, [-100, -7, 0, 0, 0, 1, 50, 100])
    simulation.run(2_000 * MS if task_ns == MS else 8_000 * MS)
    claims = simulation.claims
    assert len(claims) > 5_000
    wrong = out_of_order(simulation)
    assert not wrong, wrong[:5]
    waits: dict[int, list[int]] = {}
    for claim in claims:
        for priority, waited_ns in zip(claim.priorities, claim.waited_ns, strict=True):
            waits.setdefault(priority, []).append(waited_ns)
    best = sorted(waits[100])
    figure(
        f"tasks of {task_ns // MS} ms, 1.2 times what 20 children do: the best of 6 priorities waits "
        f"p50 {best[len(best) // 2] / MS:.1f}, p99 {best[int(len(best) * 0.99)] / MS:.1f}, "
        f"max {best[-1] / MS:.1f} ms; {simulation.empty_claims / len(claims):.1f} claims in vain each"
    )
    assert len(waits.get(-100, ())) < 0.03 * len(waits[100]), "the worst goes last"
    # A look comes every 40 ms; then a child ends what it has in hand, and its claim ahead.
    assert best[int(len(best) * 0.99)] <= STALE_NS + 2 * max(task_ns, 2 * BATCH_NS)


def test_idle_children_start_at_once_one_for_each_message(
    simulate: Callable[..., Simulation], figure: Callable[[str], None]
) -> None:
    simulation = simulate(workers=1, children=5, task_ns=MS)
    simulation.run(100 * MS)
    simulation.empty_claims = 0
    arrivals(simulation, 100.0, [0, 5])
    simulation.run(10_000 * MS)
    waited = sorted(waited_ns for claim in simulation.claims for waited_ns in claim.waited_ns)
    assert len(waited) > 800
    assert all(shard.best == NEVER or shard.bests(simulation.now_ns - 5 * MS, simulation.now_ns)[0] == NEVER
               for shard in simulation.shards)  # fmt: skip
    figure(
        f"idle, 100 tasks/s: start after p50 {waited[len(waited) // 2] / MS:.2f}, "
        f"p99 {waited[int(len(waited) * 0.99)] / MS:.2f}, max {waited[-1] / MS:.2f} ms; "
        f"{simulation.empty_claims / len(waited):.2f} claims in vain a task"
    )
    assert waited[int(len(waited) * 0.99)] <= 5 * LINK_NS + 2 * MS
    # One comes with the outcome, for what that may have made ready; none ahead of it, none for another child's wake.
    assert simulation.empty_claims / len(waited) < 1.3
