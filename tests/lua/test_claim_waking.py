"""Whom a claim wakes, and what it tells."""

from __future__ import annotations

from streamtasks.stores.redis.operations.claim import ready_call
from streamtasks.stores.types import Filter
from tests.support.script_lab import ScriptLab

OTHERS_ONLY = 2
EVERYTHING = Filter()
ONLY_MAIL = Filter("only", ("mail",))
NO_MAIL = Filter("except", ("mail",))


class TestWaking:
    """A token is in the list exactly when another child would find something."""

    def test_work_left_rings_the_list_the_child_waits_on(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b")
        lab.take_tokens()
        lab.claim(count=1)
        assert lab.token_in(lab.keys.wake)
        assert not lab.token_in(lab.keys.queue_wake("default"))

    def test_a_child_of_named_queues_rings_all_its_lists(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b", queue="mail")
        lab.take_tokens()
        lab.claim(count=1, queues=Filter("only", ("mail", "web")))
        assert lab.token_in(lab.keys.queue_wake("mail"))
        assert not lab.token_in(lab.keys.wake)

    def test_a_chain_of_claims_rings_until_the_last_message(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b", "c")
        lab.take_tokens()
        rung = []
        for seq in (1, 2, 3):
            lab.claim("w", seq, count=1)
            rung.append(lab.token_in(lab.keys.wake))
            lab.take_tokens()
        assert rung == [True, True, False]

    def test_a_lower_priority_left_behind_rings(self, lab: ScriptLab) -> None:
        lab.enqueue("a", priority=1)
        lab.enqueue("b")
        lab.take_tokens()
        lab.claim(count=1)
        assert lab.token_in(lab.keys.wake)

    def test_a_repeated_claim_does_not_ring(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b")
        lab.claim("w", 1, count=1)
        lab.take_tokens()
        lab.claim("w", 1, count=1)
        assert not lab.token_in(lab.keys.wake)

    def test_a_child_with_work_rings_for_queues_it_excludes(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.enqueue("m", queue="mail")
        lab.take_tokens()
        assert lab.claim(queues=NO_MAIL).ids == ["a"]
        assert lab.token_in(lab.keys.wake), "a child that serves mail may wait on the same list"

    def test_a_child_woken_for_a_queue_it_excludes_passes_the_ring_on(self, lab: ScriptLab) -> None:
        lab.enqueue("m", queue="mail")
        lab.client.lpop(lab.keys.wake)  # the token woke the child that excludes mail ...
        assert lab.claim(queues=NO_MAIL).flags == OTHERS_ONLY
        assert lab.token_in(lab.keys.wake), "... so the child that serves it sleeps on"

    def test_returned_work_that_fills_the_hands_rings_only_if_more_is_left(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b")
        lab.hand_back(*lab.claim("w", 1).claimed)
        lab.take_tokens()
        assert lab.claim("w", 2, count=1).ids == ["a"]
        assert lab.token_in(lab.keys.wake)


class TestTelling:
    def test_what_starts_with_its_claim_is_told_to_those_who_watch(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b", "c")
        with lab.listen(lab.keys.news_channel("a")) as listener:
            lab.claim("w", 1, count=1)
            assert listener.heard() == ["a"]
        with lab.listen(lab.keys.news_channel("b")) as listener:
            lab.claim("w", 2, count=2)
            assert listener.heard() == [], "claimed with others it has not started"


class TestLooking:
    """A look of a keeper that listens: there is always somebody who is told of the next message."""

    def marks(self, lab: ScriptLab) -> int:
        return int(lab.client.llen(lab.keys.wake))

    def look(self, lab: ScriptLab, queues: Filter = EVERYTHING) -> int:
        found: list[int] = lab.run(ready_call(lab.keys, queues))
        return found[0]

    def test_the_next_message_is_told_after_a_look(self, lab: ScriptLab) -> None:
        assert self.look(lab) == 0
        with lab.listen(lab.keys.wake) as listener:
            lab.enqueue("a")
            assert listener.heard() == ["1"]
        assert self.look(lab) == 101
        assert self.marks(lab) == 3, "they were told, and nobody has come yet"

    def test_so_is_one_after_a_message_that_went_without_a_claim(self, lab: ScriptLab) -> None:
        self.look(lab)
        lab.enqueue("a")
        lab.client.delete(lab.keys.ready)
        assert self.marks(lab) == 3
        assert self.look(lab) == 0
        assert self.marks(lab) == 2

    def test_what_others_serve_is_nothing(self, lab: ScriptLab) -> None:
        self.look(lab, NO_MAIL)
        lab.enqueue("a", queue="mail")
        assert self.look(lab, NO_MAIL) == 0
        assert self.marks(lab) == 2
