"""The board: progress and outcomes are read whole, or not at all."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from streamtasks_workers.process import board as board_module
from streamtasks_workers.process.board import Board, Slot
from streamtasks_workers.process.board_layout import PAYLOAD_BYTES
from tests.support.boards import message, new_board, place, success


@pytest.fixture
def board() -> Board:
    return new_board()


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
