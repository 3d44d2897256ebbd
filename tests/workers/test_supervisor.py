"""The supervisor's process table and keeper link, without processes."""

from __future__ import annotations

import os
import signal
import socket
import time
from typing import Any

import pytest

from streamtasks_workers.process.board import Board
from streamtasks_workers.process.last_error import LastError
from streamtasks_workers.supervisor import keeper_link, process_table
from streamtasks_workers.supervisor.keeper_link import KeeperLink
from streamtasks_workers.supervisor.process_table import Place, ProcessTable
from streamtasks_workers.supervisor.signals import StopSignals

CRASH = 9
"""The wait status of a process that was killed."""


def no_room() -> OSError:
    return OSError(11, "Resource temporarily unavailable")


class Table:
    """A process table whose children have pids from 101 on; nothing is forked and no signal is sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, places: int = 1, spare: int = 1) -> None:
        self.failing = False
        self.told: list[dict[str, Any]] = []
        self.signals: list[tuple[int, int]] = []
        self.places = [Place(0) for _ in range(places)]
        self._pids = iter(range(101, 999))
        self._boards = [Board(number, 1) for number in range(places + spare)]
        monkeypatch.setattr(process_table, "send_signal", lambda pid, number: self.signals.append((pid, number)))
        self.table = ProcessTable(self.places, self._boards, self._start, self.told.append, grace_s=5)

    def _start(self, place: Place, board: Board) -> int:
        if self.failing:
            raise no_room()
        board.reset("w", "u0", 10**9)
        return next(self._pids)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    return Table(monkeypatch)


def test_a_failed_fork_is_tried_again_later_and_logged_once(table: Table, caplog: pytest.LogCaptureFixture) -> None:
    table.failing = True
    pauses = []
    for _ in range(8):
        table.places[0].fill_at = 0.0
        table.table.fill_places()
        pauses.append(table.places[0].fill_at - time.monotonic())
    assert 0.0 < pauses[0] < 0.31
    assert pauses[-1] > 2.0
    assert caplog.text.count("cannot fork a child") == 1
    table.failing = False
    table.places[0].fill_at = 0.0
    table.table.fill_places()
    assert list(table.table.children) == [101]


def test_a_child_that_cannot_start_is_replaced_with_growing_pauses(table: Table) -> None:
    pauses = []
    for pid in range(101, 108):
        table.places[0].fill_at = 0.0
        table.table.fill_places()
        table.table.ended(pid, CRASH)
        table.table.obey({"op": "free", "board": table.told[-1]["board"]})
        pauses.append(table.places[0].fill_at - time.monotonic())
    assert max(pauses[:2]) <= 0.0, "at once"
    assert pauses[-1] > 2.0


def test_a_replaced_child_may_finish_and_its_place_is_filled_at_once(table: Table) -> None:
    table.table.fill_places()
    table.table.obey({"op": "replace", "pid": 101, "why": "it is old"})
    table.table.fill_places()
    table.table.end_retired()
    assert sorted(table.table.children) == [101, 102]
    assert table.signals == [(101, signal.SIGTERM)]
    assert table.table.next_event_s(filling=True) > 1000
    # One whose task does not end after its limit has the grace period only, and loses its board if that is needed.
    table.table.obey({"op": "retire", "pid": 101, "why": "a task does not end"})
    assert table.table.next_event_s(filling=True) <= 5
    table.table.obey({"op": "replace", "pid": 102, "why": "it is old"})
    table.table.end_retired()
    assert (101, signal.SIGKILL) in table.signals


class TestKeeperLink:
    def test_a_failed_fork_is_tried_again_later(self, caplog: pytest.LogCaptureFixture) -> None:
        failing = [True, True, False]
        told: list[int] = []

        def start(line: socket.socket) -> int:
            if failing.pop(0):
                raise no_room()
            told.append(line.fileno())
            return 4711

        link = KeeperLink(start, lambda: [{"op": "born"}], memoryview(bytearray(8)).cast("Q"), LastError())
        deadline = time.monotonic() + 30
        while not link.pid and time.monotonic() < deadline:
            link.check()
            time.sleep(min(link.next_event_s(), 0.1))
        assert (link.pid, len(told)) == (4711, 1)
        assert caplog.text.count("cannot fork the keeper") == 1
        link.close()

    def test_one_that_cannot_start_is_started_with_growing_pauses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        link = KeeperLink(lambda _: 4711, list, memoryview(bytearray(8)).cast("Q"), LastError())
        pauses = []
        for _ in range(9):
            monkeypatch.setattr(link, "_start_at", 0.0)
            link.check()
            link.ended(CRASH)
            pauses.append(link.next_event_s())
        link.close()
        assert pauses[0] == 0.0
        assert pauses[-1] > 2.0

    def test_a_silent_one_is_killed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        killed: list[int] = []
        monkeypatch.setattr(keeper_link, "send_signal", lambda pid, _: killed.append(pid))
        alive = memoryview(bytearray(8)).cast("Q")
        link = KeeperLink(lambda _: 4711, list, alive, LastError())
        link.check()
        link.check()
        assert killed == []
        alive[0] = time.monotonic_ns() - 6 * 10**9
        link.check()
        link.check()
        assert killed == [4711]
        link.close()


class TestStopSignals:
    @pytest.fixture
    def signals(self, monkeypatch: pytest.MonkeyPatch) -> StopSignals:
        made = StopSignals(grace_s=10)
        read_end, _ = os.pipe()
        os.set_blocking(read_end, False)
        monkeypatch.setattr(made, "_wake_fd", read_end, raising=False)
        return made

    def arrive(self, signals: StopSignals, number: int) -> bool:
        signals._receive(number, None)  # pyright: ignore[reportPrivateUsage]
        return signals.changed()

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    def test_the_first_one_starts_the_grace_period(self, signals: StopSignals, number: int) -> None:
        assert signals.grace_left_s == float("inf")
        assert self.arrive(signals, number)
        assert (signals.at_once, signals.claims) == (False, False)
        assert 9 < signals.grace_left_s <= 10

    def test_a_second_one_soon_after_is_the_same_one(self, signals: StopSignals) -> None:
        self.arrive(signals, signal.SIGTERM)
        assert not self.arrive(signals, signal.SIGTERM)
        assert not signals.at_once
        signals.stopping_since -= 1.5
        assert self.arrive(signals, signal.SIGTERM)
        assert signals.at_once

    def test_quit_is_never_the_same_one(self, signals: StopSignals) -> None:
        self.arrive(signals, signal.SIGTERM)
        assert self.arrive(signals, signal.SIGQUIT)
        assert signals.at_once

    def test_quiet_claims_no_more_and_does_not_stop(self, signals: StopSignals) -> None:
        assert self.arrive(signals, signal.SIGTSTP)
        assert not self.arrive(signals, signal.SIGTSTP)
        assert (signals.quiet, signals.claims, signals.stopping_since) == (True, False, 0.0)
        assert self.arrive(signals, signal.SIGTERM)
        assert not signals.at_once


class TestLastError:
    def raised(self, number: int) -> Exception:
        try:
            if number == 3:
                raise KeyError("another one")
            raise ValueError(f"object at 0x{number:x} in process {number}")
        except (KeyError, ValueError) as error:
            return error

    def test_the_same_one_is_new_once_whatever_its_addresses(self) -> None:
        last = LastError()
        assert [last.is_new(self.raised(number)) for number in (1, 20, 300)] == [True, False, False]
        assert last.times == 3
        assert last.is_new(self.raised(3))
        assert last.is_new(self.raised(1))
        last.forget()
        assert last.is_new(self.raised(1))

    def test_a_forked_process_shares_it(self) -> None:
        last = LastError()
        for _ in range(2):
            pid = os.fork()
            if not pid:
                last.is_new(self.raised(os.getpid()))
                os._exit(0)
            os.waitpid(pid, 0)
        assert last.times == 2
