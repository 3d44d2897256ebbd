"""The board: what a child puts on it the keeper sees, whole, and both never take the same message."""

from __future__ import annotations

import os
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from streamtasks import StoreSettings
from streamtasks.protocol.state import State
from streamtasks_workers.process import board as board_module
from streamtasks_workers.process.board import Board, Slot
from streamtasks_workers.process.boot_clock import boot_ns
from streamtasks_workers.roles import fence
from tests.support.boards import LEASE_NS, message, new_board, place, success


@pytest.fixture
def board() -> Board:
    return new_board()


def test_a_detached_copy_shows_nothing_to_the_keeper(board: Board) -> None:
    """What a task forks is not the child: nothing that it does is done in the child's name."""
    slot, other = place(board, message(1), message(2))
    started = board.start(slot)
    pid = os.fork()
    if pid == 0:
        board.detach()
        board.report(slot, b"copy")
        board.finish(slot, success(message(1)), started)
        os._exit(0 if board.start(other) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert board.states()[slot] == Slot.RUNNING
    assert board.states()[other] == Slot.CLAIMED
    assert board.reported(slot, 0) is None


class TestLife:
    def test_a_placed_message_can_be_read_back_without_its_body(self, board: Board) -> None:
        [slot] = place(board, message())
        assert board.states()[slot] == Slot.CLAIMED
        assert board.claimed(slot) == message(body=b"")
        assert (board.consumer, board.tag) == ("w", "u0")

    def test_each_slot_knows_the_shard_of_its_claim(self, board: Board) -> None:
        [first] = place(board, message(1))
        board.sent(4, "dj")
        assert board.tag == "dj", "before the claim is sent: it may be the last sign of the child"
        [second] = board.place(4, [message(2)], recorded=False) or []
        board.sent(5)
        [third] = board.place(5, [message(3)], recorded=False) or []
        assert [board.tag_of(slot) for slot in (first, second, third)] == ["u0", "dj", "dj"]
        board.free(first)
        board.sent(6, "u0")
        [again] = board.place(6, [message(4)], recorded=False) or []
        assert (again, board.tag_of(again), board.tag_of(second)) == (first, "u0", "dj")

    def test_the_longest_names_fit(self, board: Board) -> None:
        consumer = "h" * 190
        board.reset(consumer, "u0", LEASE_NS)
        longest = message(
            id="i" * 64, stream="-100:" + "q" * 128, entry="9" * 13 + "-" + "9" * 8, token=f"{consumer}#3"
        )
        [slot] = place(board, longest)
        assert board.claimed(slot) == longest._replace(body=b"")

    def test_it_holds_something_until_the_last_slot_is_free(self, board: Board) -> None:
        assert not board.holds_anything
        slots = place(board, message(1), message(2))
        for slot in slots:
            assert board.holds_anything
            board.free(slot)
        assert not board.holds_anything

    def test_start_gives_the_time_and_shows_it(self, board: Board) -> None:
        [slot] = place(board, message())
        before = time.monotonic_ns()
        started = board.start(slot)
        assert before <= started <= time.monotonic_ns()
        assert board.states()[slot] == Slot.RUNNING
        assert board.times(slot)[0] == started

    def test_a_start_that_the_claim_recorded_is_told(self, board: Board) -> None:
        first, second = place(board, message(1), recorded=True) + place(board, message(2), sequence=4)
        assert [board.start_recorded(first), board.start_recorded(second)] == [True, False]

    @pytest.mark.parametrize("state", list(State))
    def test_a_finished_outcome_comes_back_whole(self, board: Board, state: State) -> None:
        claimed = message()
        [slot] = place(board, claimed)
        started = board.start(slot)
        outcome = success(claimed, b"\x00\xff" * 50, state=state.value, note="é why", delay_ms=7)
        assert board.finish(slot, outcome, started)
        assert board.states()[slot] == Slot.FINISHED
        assert board.outcome(slot) == outcome
        finished = board.times(slot)[1]
        assert started <= finished <= time.monotonic_ns()

    def test_counts_add_up(self, board: Board) -> None:
        for n in (1, 2):
            [slot] = place(board, message(n), sequence=n)
            board.finish(slot, success(message(n)), board.start(slot) - 1_000_000)
        attempts, spent = board.counts()
        assert attempts == 2
        assert spent >= 2_000_000

    def test_slots_are_used_again(self, board: Board) -> None:
        for round_ in range(1, 20):
            slots = place(board, *(message(n) for n in range(4)), sequence=round_)
            assert sorted(slots) == [0, 1, 2, 3]
            for slot in slots:
                board.free(slot)
        assert set(board.states()) == {Slot.FREE}

    def test_a_new_child_finds_it_empty(self, board: Board) -> None:
        place(board, message(1), message(2))
        board.invalidate(9)
        board.reset("x", "dj", LEASE_NS)
        assert set(board.states()) == {Slot.FREE}
        assert board.sequences() == (0, 0, 0, 0)
        assert (board.consumer, board.tag, board.counts()) == ("x", "dj", (0, 0))
        assert len(place(board, *(message(n) for n in range(4)), sequence=1)) == 4

    def test_a_lock_that_a_killed_child_held_is_free_for_the_next(self, board: Board) -> None:
        board._lock.acquire()  # pyright: ignore[reportPrivateUsage]
        board.reset("x", "u0", LEASE_NS)
        with board.locked(0.1) as got:
            assert got

    @pytest.mark.parametrize("slots", [0, -1, 100_000])
    def test_an_impossible_number_of_slots_is_refused(self, slots: int) -> None:
        with pytest.raises(ValueError, match="slots"):
            Board(0, slots)


class TestLease:
    """A process that stood still must not start what may be somebody else's by now."""

    def test_a_claim_older_than_its_lease_can_not_be_started(self, board: Board) -> None:
        board.reset("w", "u0", 1)
        [slot] = place(board, message())
        assert board.start(slot) == 0
        assert board.states()[slot] == Slot.CLAIMED

    def test_a_renewal_makes_it_good_again(self, board: Board) -> None:
        board.reset("w", "u0", LEASE_NS)
        [slot] = place(board, message())
        board.renewed([slot], boot_ns() - LEASE_NS + 5 * 10**9)
        assert board.start(slot) > 0

    def test_an_old_renewal_does_no_harm_to_a_new_claim(self, board: Board) -> None:
        [slot] = place(board, message())
        board.renewed([slot], 1)
        assert board.start(slot) > 0

    def test_a_renewal_counts_for_its_slots_only(self, board: Board) -> None:
        board.reset("w", "u0", LEASE_NS)
        slot, other = place(board, message(1), message(2))
        board.renewed([slot], boot_ns() + 5 * 10**9)
        assert board.held_since(slot) > boot_ns()
        assert board.held_since(other) <= boot_ns()

    def test_a_machine_that_slept(self, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
        """The monotonic clock stands still meanwhile, the server's does not."""
        board.reset("w", "u0", LEASE_NS)
        first, second = place(board, message(1), message(2))
        assert board.start(first) > 0
        monkeypatch.setattr(board_module, "boot_ns", lambda: boot_ns() + LEASE_NS)
        assert board.start(second) == 0
        assert board.states()[second] == Slot.CLAIMED

    async def test_what_ran_while_the_machine_slept_is_fenced(
        self, board: Board, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        [slot] = place(board, message())
        assert board.start(slot) > 0
        killed: list[str] = []
        child = SimpleNamespace(board=board, kill=killed.append)
        options, settings = SimpleNamespace(fence_after_s=None), StoreSettings(lease_s=LEASE_NS / 1e9)
        app: Any = SimpleNamespace(children={0: child}, settings=settings, options=options, store=None, counters=None)
        role = fence.Fence(app)
        await role.run_once()
        assert killed == []
        monkeypatch.setattr(fence, "boot_ns", lambda: boot_ns() + LEASE_NS)
        await role.run_once()
        assert killed == [f"fenced: no renewal for {LEASE_NS / 1e9:g} s"]


class TestHandingBack:
    def test_a_returned_message_can_not_be_started(self, board: Board) -> None:
        first, second = place(board, message(1), message(2))
        with board.locked(1) as got:
            assert got
            board.set_returned(second)
        assert board.start(second) == 0
        assert board.states()[second] == Slot.RETURNED
        assert board.start(first) > 0

    def test_a_running_or_finished_one_can_not_be_started_again(self, board: Board) -> None:
        [slot] = place(board, message())
        started = board.start(slot)
        assert board.start(slot) == 0
        board.finish(slot, success(message()), started)
        assert board.start(slot) == 0

    def test_starting_waits_while_the_keeper_holds_the_lock(self, board: Board) -> None:
        [slot] = place(board, message())
        answers: list[int] = []
        with board.locked(1):
            child = threading.Thread(target=lambda: answers.append(board.start(slot)))
            child.start()
            child.join(0.05)
            assert child.is_alive()
            board.set_returned(slot)
        child.join(60)
        assert answers == [0]

    def test_a_claim_that_was_given_up_is_not_taken(self, board: Board) -> None:
        board.sent(3)
        with board.locked(1):
            board.invalidate(3)
        assert board.place(3, [message()], recorded=False) is None
        assert set(board.states()) == {Slot.FREE}
        assert board.sequences()[:3] == (3, 3, 3)
        assert board.place(4, [message()], recorded=False) is not None

    def test_sequences_say_what_is_on_its_way(self, board: Board) -> None:
        before = time.monotonic_ns()
        board.sent(7)
        sent, received, invalidated, sent_at = board.sequences()
        assert (sent, received, invalidated) == (7, 0, 0)
        assert sent_at >= before
        place(board, sequence=7)
        assert board.sequences()[:2] == (7, 7)

    def test_a_claim_may_be_repeated_after_later_ones(self, board: Board) -> None:
        """On another shard: it is not invalid because one of these was."""
        board.sent(3)
        board.give_up(3)
        assert board.sequences()[:2] == (3, 3)
        board.note_unsure({"u0": 3})
        board.sent(4, "qp")
        with board.locked(1):
            board.invalidate(4)
        assert board.place(4, [message()], recorded=False) is None
        board.sent(3, "u0")
        assert board.place(3, [message()], recorded=False) is not None

    def test_claims_without_an_answer_are_noted(self, board: Board) -> None:
        tags = [f"{place}{'x' * 30}"[:31] for place in range(12)]
        board.note_unsure({tag: 2**60 + place for place, tag in enumerate(tags)})
        assert board.unsure() == {tag: 2**60 + place for place, tag in enumerate(tags[:10])}
        assert set(board.states()) == {Slot.FREE}
        board.note_unsure({})
        assert board.unsure() == {}

    def test_a_lock_that_cannot_be_had_is_told(self, board: Board) -> None:
        with board.locked(1), board.locked(0.01) as got:
            assert not got

    def test_another_process_sees_the_same_board(self, board: Board) -> None:
        child = os.fork()
        if child == 0:
            [slot] = place(board, message())
            board.start(slot)
            os._exit(0)
        os.waitpid(child, 0)
        assert board.states()[3] == Slot.RUNNING
        assert board.claimed(3).id == "id-1"
