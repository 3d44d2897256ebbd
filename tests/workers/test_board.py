"""The board: what a child puts on it the keeper sees, whole, and both never take the same message."""

from __future__ import annotations

import os
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from streamtasks.protocol.state import State
from streamtasks.stores.types import Claimed, Outcome
from streamtasks_workers.process import board as board_module
from streamtasks_workers.process.board import PAYLOAD_BYTES, Board, Slot
from streamtasks_workers.process.boot_clock import boot_ns
from streamtasks_workers.roles import fence

LEASE_NS = 30 * 10**9


def message(n: int = 1, **changes: Any) -> Claimed:
    made = Claimed(f"id-{n}", "w#3", "0:default", f"170000000000{n}-0", 2, 1, 55, b"123 {}")
    return made._replace(**changes)


def success(claimed: Claimed, result: bytes = b'{"r":1}', **changes: Any) -> Outcome:
    made = Outcome(
        claimed.id, claimed.token, claimed.stream, claimed.entry, claimed.attempt, claimed.first_started_ms,
        99, "SUCCESS", result, "", 900_000,
    )  # fmt: skip
    return made._replace(**changes)


@pytest.fixture
def board() -> Board:
    made = Board(0, 4)
    made.reset("w", "u0", LEASE_NS)
    return made


def place(board: Board, *claimed: Claimed, sequence: int = 3, recorded: bool = False) -> list[int]:
    board.sent(sequence)
    slots = board.place(sequence, list(claimed), recorded=recorded)
    assert slots is not None
    return slots


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

    def test_the_longest_names_fit(self, board: Board) -> None:
        consumer = "h" * 190
        board.reset(consumer, "u0", LEASE_NS)
        longest = message(
            id="i" * 64, stream="-100:" + "q" * 128, entry="9" * 13 + "-" + "9" * 8, token=f"{consumer}#3"
        )
        [slot] = place(board, longest)
        assert board.claimed(slot) == longest._replace(body=b"")

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
        board.renewed(boot_ns() - LEASE_NS + 5 * 10**9)
        assert board.start(slot) > 0

    def test_an_old_renewal_does_no_harm_to_a_new_claim(self, board: Board) -> None:
        board.renewed(1)
        [slot] = place(board, message())
        assert board.start(slot) > 0

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
        killed: list[Board] = []
        options, settings = SimpleNamespace(fence_after_s=None), SimpleNamespace(lease_s=LEASE_NS / 1e9)
        app: Any = SimpleNamespace(
            boards=[board], settings=settings, options=options, store=None, kill=lambda board, _: killed.append(board)
        )
        role = fence.Fence(app)
        await role.run_once()
        assert killed == []
        monkeypatch.setattr(fence, "boot_ns", lambda: boot_ns() + LEASE_NS)
        await role.run_once()
        assert killed == [board]


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
        child.join(5)
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


class TestProgress:
    @pytest.fixture
    def slot(self, board: Board) -> int:
        [slot] = place(board, message())
        board.start(slot)
        return slot

    def test_the_last_word_is_seen_once(self, board: Board, slot: int) -> None:
        assert board.reported(slot, 0) is None
        assert board.report(slot, b'{"n":1}')
        assert board.report(slot, b'{"n":22}')
        found = board.reported(slot, 0)
        assert found is not None
        version, data = found
        assert data == b'{"n":22}'
        assert board.reported(slot, version) is None
        board.report(slot, b"3")
        again = board.reported(slot, version)
        assert again is not None
        assert again[1] == b"3"

    def test_too_much_is_refused_and_the_last_word_stays(self, board: Board, slot: int) -> None:
        board.report(slot, b"1")
        assert not board.report(slot, b"x" * (PAYLOAD_BYTES + 1))
        assert board.report(slot, b"x" * PAYLOAD_BYTES)
        found = board.reported(slot, 0)
        assert found is not None
        assert found[1] == b"x" * PAYLOAD_BYTES

    def test_a_later_attempt_in_the_slot_starts_without_progress(self, board: Board, slot: int) -> None:
        board.report(slot, b"1")
        board.finish(slot, success(message()), time.monotonic_ns())
        board.free(slot)
        [again] = place(board, message(2), sequence=4)
        assert again == slot
        board.start(again)
        assert board.reported(again, 0) is None

    def test_a_finished_attempt_has_no_progress_any_more(self, board: Board, slot: int) -> None:
        board.report(slot, b"1")
        board.finish(slot, success(message()), time.monotonic_ns())
        assert board.reported(slot, 0) is None

    def test_what_is_being_written_is_never_read_in_part(self, board: Board, slot: int) -> None:
        """A writer and a reader at full speed: every word that is read is one that was said."""
        said = [bytes([65 + n]) * (1 + 37 * n) for n in range(20)]
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                for data in said:
                    board.report(slot, data)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            seen = [board.reported(slot, 0) for _ in range(20_000)]
        finally:
            stop.set()
            writer.join()
        whole = {found[1] for found in seen if found is not None}
        assert whole
        assert whole <= set(said)

    def test_half_of_what_is_being_written_is_never_read(
        self, board: Board, slot: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        board.report(slot, b"first word")
        known = board.reported(slot, 0)
        assert known is not None
        version = known[0]
        seen: list[Any] = []
        memory: Any = board._memory  # pyright: ignore[reportPrivateUsage]

        class HalfWay:
            """Looks as the keeper does when half of a write is done."""

            def __getitem__(self, where: Any) -> Any:
                return memory[where]

            def __setitem__(self, where: Any, data: Any) -> None:
                if isinstance(where, slice):
                    half = len(data) // 2
                    memory[where.start : where.start + half] = data[:half]
                    seen.extend((board.reported(slot, 0), board.reported(slot, version)))
                memory[where] = data

        monkeypatch.setattr(board, "_memory", HalfWay())
        board.report(slot, b"SECOND WORD, LONGER")
        monkeypatch.setattr(board, "_memory", memory)
        assert seen == [None, None]
        found = board.reported(slot, version)
        assert found is not None
        assert found[1] == b"SECOND WORD, LONGER"

    def test_an_outcome_that_is_being_written_is_not_read_as_progress(
        self, board: Board, slot: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        board.report(slot, b'{"percent": 99, "step": "almost"}')
        seen = []
        real = board_module._OUTCOME  # pyright: ignore[reportPrivateUsage]

        class Watched:
            size = real.size

            def pack_into(self, *arguments: Any) -> None:
                real.pack_into(*arguments)
                seen.append(board.reported(slot, 0))

        monkeypatch.setattr(board_module, "_OUTCOME", Watched())
        board.finish(slot, success(message()), time.monotonic_ns())
        assert len(seen) == 1
        assert seen[0] is None or seen[0][1] == b'{"percent": 99, "step": "almost"}'


class TestLargeOutcomes:
    def test_one_that_does_not_fit_is_refused_and_the_attempt_stays_running(self, board: Board) -> None:
        [slot] = place(board, message())
        started = board.start(slot)
        assert not board.finish(slot, success(message(), b"x" * PAYLOAD_BYTES), started)
        assert board.states()[slot] == Slot.RUNNING
        assert board.counts()[0] == 1

    def test_the_largest_that_fits(self, board: Board) -> None:
        [slot] = place(board, message())
        started = board.start(slot)
        head = board_module._OUTCOME.size  # pyright: ignore[reportPrivateUsage]
        largest = success(message(), b"x" * (PAYLOAD_BYTES - head))
        assert board.finish(slot, largest, started)
        assert board.outcome(slot) == largest
        place(board, message(2), sequence=4)
        assert board.outcome(slot) == largest, "neighbours do not touch"
