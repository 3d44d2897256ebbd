"""Retention classes: each hour has an index for records that expire at about the same age."""

from __future__ import annotations

import pytest

from streamtasks import StoreSettings
from streamtasks.protocol.keys import RETENTIONS_H, retention_class
from tests.support.script_lab import ScriptLab, claimed_batch, outcome

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@pytest.mark.parametrize(
    ("keep_ms", "retention_h"),
    [(1, 3), (3 * HOUR_MS, 3), (3 * HOUR_MS + 1, 6), (DAY_MS, 24), (7 * DAY_MS, 192), (10_000 * DAY_MS, 12_288)],
)
def test_the_class_of_a_record_is_the_first_that_is_as_long(keep_ms: int, retention_h: int) -> None:
    assert retention_class(keep_ms) == retention_h


def test_there_are_few_classes() -> None:
    assert len({retention_class(minutes * 60_000) for minutes in range(0, 2_000_000, 7)}) == len(RETENTIONS_H) == 13


class TestIndexes:
    """What finishes stands in the index of its retention class, which expires with the longest record in it."""

    def listed(self, lab: ScriptLab) -> dict[int, list[str]]:
        return {
            int(key.split(":")[2].split(" ")[0]): [ids for entry in entries for ids in entry.values()]
            for key, entries in lab.dump().items()
            if key.startswith("finished:")
        }

    def test_each_class_has_an_index_of_its_own(self, lab: ScriptLab) -> None:
        a, b, c, d = claimed_batch(lab, *"abcd")
        lab.settle(
            outcome(a, started=5, keep_ms=DAY_MS),
            outcome(b, "FAILURE", started=5, keep_ms=7 * DAY_MS),
            outcome(c, started=5, keep_ms=DAY_MS),
            outcome(d, started=5, keep_ms=DAY_MS + 1),
        )
        assert self.listed(lab) == {24: ["a c"], 192: ["b"], 48: ["d"]}
        entries = lab.finished(lab.hour())
        assert {one.retention_h: one.all_ids for one in entries} == {24: ["a", "c"], 48: ["d"], 192: ["b"]}

    def test_it_expires_with_the_longest_record_of_its_class(self, lab: ScriptLab) -> None:
        hour = lab.hour()
        for days, longest in ((5, 5), (8, 8), (7, 8)):
            lab.enqueue(f"{days}")
            lab.settle(outcome(lab.claim_one(f"w{days}"), started=5, keep_ms=days * DAY_MS))
            expires_ms = lab.client.pexpiretime(lab.keys.finished(hour, 192))
            assert expires_ms == (hour + 1) * 3_600_000 + longest * DAY_MS

    def test_what_is_revoked_in_the_hands_of_its_holder_is_kept_as_a_failure(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.revoke("a")
        lab.settings = StoreSettings(failure_expires_s=30 * 86_400.0)
        lab.settle(outcome(claimed, keep_ms=DAY_MS))
        assert self.listed(lab) == {768: ["a"]}

    def test_the_longest_class_takes_whatever_is_kept_for_longer(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.settle(outcome(lab.claim_one(), keep_ms=5000 * DAY_MS))
        assert self.listed(lab) == {RETENTIONS_H[-1]: ["a"]}
        [index] = [key for key in lab.client.keys("*") if b"finished:" in key]
        assert lab.client.pexpiretime(index) == (lab.hour() + 1) * 3_600_000 + 5000 * DAY_MS
