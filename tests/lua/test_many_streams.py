"""However many streams a step needs, its operation ends: a call does what the last one missed streams for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from streamtasks import StoreSettings
from streamtasks.stores.redis.operations.admit import admit
from streamtasks.stores.redis.operations.hand_back import hand_back, reclaim
from streamtasks.stores.redis.operations.promote import promote
from streamtasks.stores.redis.shards import MOST_NAMES, Shards
from streamtasks.stores.types import ClaimId, Limit

if TYPE_CHECKING:
    from streamtasks.stores.redis.shards import Operation
    from tests.support.script_lab import ScriptLab

MANY = MOST_NAMES + 8
VERY_MANY = 150
TAG = "u0"
FAST = Limit("fast", 100, 10)
MOST_ROUNDS = 12


def done[T](lab: ScriptLab, operation: Operation[T]) -> T:
    """Run an operation; fail if it does not end."""
    return lab.complete(operation, MOST_ROUNDS)[0]


@pytest.fixture
def shards(lab: ScriptLab) -> Shards:
    found = Shards(StoreSettings(key_prefix=lab.prefix))
    assert found.tags == (TAG,)
    return found


def fill(lab: ScriptLab, count: int, **options: Any) -> None:
    for number in range(count):
        lab.enqueue(f"m{number}", queue=f"q{number}", **options)


def ready(lab: ScriptLab) -> int:
    return int(lab.client.zcard(lab.keys.ready))


def claim_all(lab: ScriptLab, count: int) -> list[str]:
    """Claim everything; return the tokens."""
    tokens: list[str] = []
    for sequence in range(1, 2 * count):
        claimed = lab.claim("w", sequence, count=100).claimed
        if not claimed:
            return tokens
        tokens.append(claimed[0].token)
    raise AssertionError("there is always more to claim")


@pytest.mark.parametrize("count", [MANY, VERY_MANY])
def test_admit_with_one_limit_over_many_queues(lab: ScriptLab, shards: Shards, count: int) -> None:
    fill(lab, count, limit=FAST)
    admitted = 0
    for _ in range(MOST_ROUNDS):
        admitted += done(lab, admit(shards, TAG)).admitted
        if admitted >= min(count, 100):
            break
    assert admitted >= MANY, "a fast limit lets up to 100 go at once"
    assert ready(lab) == admitted


@pytest.mark.parametrize("count", [MANY, VERY_MANY])
def test_promote(lab: ScriptLab, shards: Shards, count: int) -> None:
    fill(lab, count, delay_ms=60_000)
    lab.make_due(*(f"m{number}" for number in range(count)))
    assert done(lab, promote(shards, TAG)).promoted == count
    assert ready(lab) == count


def test_reclaim(lab: ScriptLab, shards: Shards) -> None:
    fill(lab, VERY_MANY)
    tokens = claim_all(lab, VERY_MANY)
    lab.expire_leases(*tokens)
    assert done(lab, reclaim(shards, TAG)).reclaimed == VERY_MANY
    assert ready(lab) == VERY_MANY
    assert not lab.client.exists(lab.keys.leases, lab.keys.batches)


def test_hand_back_of_a_claim_that_nobody_knows(lab: ScriptLab, shards: Shards) -> None:
    fill(lab, MANY)
    tokens = claim_all(lab, MANY)
    for token in tokens:
        consumer, _, sequence = token.rpartition("#")
        done(lab, hand_back(shards, TAG, [], invalidate=ClaimId(consumer, int(sequence))))
    assert ready(lab) == MANY
    assert not lab.client.exists(lab.keys.leases, lab.keys.batches)
