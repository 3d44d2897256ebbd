"""Random lives of messages that are revoked, follow each other and lose their workers: each ends, once, as it must."""

from __future__ import annotations

import random
from typing import Any

import pytest

from streamtasks.stores.types import Claimed, ClaimId, NewMessage
from tests.support.script_lab import ScriptLab, outcome

NAMES = ("0:default", "5:mail")
MOST_STEPS = 150
FINAL = ("SUCCESS", "SUCCESS", "SUCCESS", "FAILURE", "IGNORED", "EXPIRED", "DEAD")


class Lives:
    """One random history of a shard. What was promised of an id stands in ``revoked`` and ``after``."""

    def __init__(self, lab: ScriptLab, seed: int) -> None:
        self.lab = lab
        self.random = random.Random(seed)
        self.ids: list[str] = []
        self.held: list[Claimed] = []
        self.revoked: set[str] = set()
        self.settled: dict[str, str] = {}
        self.sequence = self.made = 0

    def new(self) -> NewMessage:
        self.made += 1
        task_id = f"m{self.made}"
        self.ids.append(task_id)
        queue, priority = self.random.choice([("default", 0), ("mail", 5)])
        after = self.random.choice([*self.ids[-6:-1], "", "", "", "unknown"]) if len(self.ids) > 6 else ""
        delay = self.random.choice([None, None, 60_000])
        return NewMessage(task_id, queue, priority, b"{}", delay_ms=delay, after=after)

    def enqueue(self) -> None:
        message = self.new()
        due: dict[str, Any] = {"delay_ms": message.delay_ms, "after": message.after}
        self.lab.enqueue(message.id, queue=message.queue, priority=message.priority, **due)

    def claim(self) -> None:
        self.sequence += 1
        count = self.random.choice([1, 1, 3, 10])
        claim = self.lab.claim(f"w{self.sequence}", 1, count=count, alone=self.random.random() < 0.7)
        self.held += claim.claimed

    def take(self) -> Claimed | None:
        return self.held.pop(self.random.randrange(len(self.held))) if self.held else None

    def settle(self) -> None:
        claimed = self.take()
        if claimed is None:
            return
        if claimed.id.startswith("cb."):
            state = "CALLED"
        elif claimed.skip_reason:
            state = "REVOKED" if claimed.skip_reason == "revoked" else "FAILURE"
        else:
            state = self.random.choice([*FINAL, "RETRY"])
        follow = () if state == "CALLED" or self.random.random() < 0.8 or len(self.ids) > 200 else (self.new(),)
        done = outcome(claimed, state, started=0 if claimed.skip_reason else 5, follow=follow)
        done = done._replace(delay_ms=self.random.choice([0, 60_000]) if state == "RETRY" else 0)
        callbacks = "all" if state == "DEAD" else "revoked"
        [code] = self.lab.settle(done, callbacks=callbacks)
        assert self.lab.settle(done, callbacks=callbacks) == [2 if code == 1 else code]
        for message in follow:
            if self.lab.read(message.id) == [[]]:  # the outcome was not the one that counts
                self.ids.remove(message.id)
        if code == 1 and state not in ("RETRY", "CALLED"):
            assert claimed.id not in self.settled
            self.settled[claimed.id] = state

    def hand_back(self) -> None:
        claimed = self.take()
        if claimed is not None:
            self.lab.hand_back(claimed, names=NAMES)

    def give_up(self) -> None:
        claimed = self.take()
        if claimed is not None:
            consumer = claimed.token.partition("#")[0]
            self.lab.hand_back(names=NAMES, invalidate=ClaimId(consumer, 1), gone=True)
            self.held = [other for other in self.held if other.token != claimed.token]

    def crash(self) -> None:
        claimed = self.take()
        if claimed is not None and self.lab.charge(claimed) == [3]:
            self.lab.settle(outcome(claimed, "DEAD"), callbacks="all")

    def lose_worker(self) -> None:
        claimed = self.take()
        if claimed is None or not self.lab.renew(claimed.token)[0]:
            return
        self.lab.expire_leases(claimed.token)
        self.held = [other for other in self.held if other.token != claimed.token]
        self.reclaim()

    def reclaim(self) -> None:
        _, missing, exhausted, _ = self.lab.reclaim(*NAMES, lost_limit=100)
        assert missing == exhausted == []

    def mark_running(self) -> None:
        if self.held:
            self.lab.mark_running(self.random.choice(self.held))

    def promote(self) -> None:
        waiting = sorted(self.lab.dump().get("delayed", {}))
        if waiting:
            self.lab.make_due(self.random.choice(waiting))
        self.lab.promote(*NAMES)

    def revoke(self) -> None:
        if not self.ids:
            return
        task_id = self.random.choice(self.ids)
        code, name = self.lab.revoke(task_id, terminate=self.random.random() < 0.5)
        while code == 4:
            code, name = self.lab.revoke(task_id, name or self.random.choice(NAMES))
        assert code in (1, 2, 3)
        if code != 3:
            self.revoked.add(task_id)

    def run(self) -> None:
        steps = [
            *(self.enqueue,) * 5,
            *(self.claim,) * 4,
            *(self.settle,) * 4,
            *(self.promote,) * 3,
            *(self.revoke,) * 2,
            *(self.hand_back, self.give_up, self.crash, self.lose_worker, self.mark_running),
        ]
        self.lab.beat()
        for _ in range(MOST_STEPS):
            self.random.choice(steps)()

    def end(self) -> None:
        """Let everything come to its end."""
        for _ in range(500):
            if not self.lab.client.exists(self.lab.keys.messages):
                return
            for task_id in sorted(self.lab.dump().get("delayed", {})):
                self.lab.make_due(task_id)
            self.lab.promote(*NAMES)
            self.claim()
            while self.held:
                self.settle()
        raise AssertionError(f"these never end: {self.lab.dump()}")


@pytest.mark.parametrize("seed", range(5))
def test_every_message_ends_as_it_must(lab: ScriptLab, seed: int) -> None:
    lives = Lives(lab, seed)
    lives.run()
    lives.end()
    left = lab.dump()
    expected = {
        "totals",
        "streams",
        "beat",
        "workers",
        "worker_info",
        "dead",
        "dead_bytes",
        "dead_sizes",
        "ready",
        "wake",
        "wake:default",
        "wake:mail",
    }
    assert {key for key in left if not key.endswith("(expires)")} - expected <= {f"q:{name}" for name in NAMES}
    states = {task_id: lab.record(task_id).state for task_id in lives.ids}
    assert {task_id for task_id in lives.revoked if states[task_id] != "REVOKED"} == set()
    assert {task_id for task_id, state in lives.settled.items() if states[task_id] not in (state, "REVOKED")} == set()
    assert sum(lab.totals().get(state, 0) for state in (*FINAL[2:], "REVOKED")) == len(lives.ids)
    entries = [entry for key in left if key.startswith("finished:") for entry in left[key]]
    listed = [task_id for entry in entries for ids in entry.values() for task_id in ids.split(" ")]
    assert sorted(listed) == sorted(lives.ids)
    lab.claim("last", 1)
    for name in NAMES:
        stream = lab.dump().get(f"q:{name}")
        assert stream is None or stream == ([], {}), "entries of what has ended are dropped by who meets them"
