"""The supervisor's process table and keeper link, without processes."""

from __future__ import annotations

import os
import signal
import socket
import time
from typing import Any

import pytest

from streamtasks.stores.backoff import Backoff
from streamtasks_workers.process.board import Board
from streamtasks_workers.process.last_error import LastError
from streamtasks_workers.process.message_line import MessageLine
from streamtasks_workers.supervisor import keeper_link, process_table
from streamtasks_workers.supervisor.keeper_link import KeeperLink
from streamtasks_workers.supervisor.process_table import NEVER, Place, ProcessTable
from streamtasks_workers.supervisor.signals import SAME_S, Phase, StopSignals

CRASH = -9
"""The exit code of a process that was killed."""


def no_room() -> OSError:
    return OSError(11, "Resource temporarily unavailable")


class Table:
    """A process table whose children have pids from 101 on; nothing is forked and no signal is sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, places: int = 1, spare: int = 1) -> None:
        self.failing = False
        self.told: list[dict[str, Any]] = []
        self.signals: list[tuple[int, int]] = []
        last_error = LastError()
        self.places = [Place("a child", Backoff(0.4, 5.0, at_once=2), last_error) for _ in range(places)]
        self._pids = iter(range(101, 999))
        self._boards = [Board(number, 1) for number in range(places + spare)]
        monkeypatch.setattr(process_table, "send_signal", lambda pid, number: self.signals.append((pid, number)))
        placed = [(0, place) for place in self.places]
        self.table = ProcessTable(placed, self._boards, self._fork, self.told.append, grace_s=5)

    def _fork(self, app: int, board: Board) -> int:
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
        table.places[0].start_at = 0.0
        table.table.fill_places()
        pauses.append(table.places[0].start_at - time.monotonic())
    assert 0.0 < pauses[0] < 0.31
    assert pauses[-1] > 2.0
    assert caplog.text.count("cannot fork a child") == 1
    table.failing = False
    table.places[0].start_at = 0.0
    table.table.fill_places()
    assert list(table.table.children) == [101]


def test_a_child_that_cannot_start_is_replaced_with_growing_pauses(table: Table) -> None:
    pauses = []
    for pid in range(101, 108):
        table.places[0].start_at = 0.0
        table.table.fill_places()
        table.table.ended(pid, CRASH)
        table.table.obey({"op": "free", "board": table.told[-1]["board"]})
        pauses.append(table.places[0].start_at - time.monotonic())
    assert max(pauses[:2]) <= 0.0, "at once"
    assert pauses[-1] > 2.0


def test_an_outage_of_forks_is_logged_again_when_it_comes_back(table: Table, caplog: pytest.LogCaptureFixture) -> None:
    for table.failing in (True, False, True):
        table.places[0].start_at = 0.0
        table.table.fill_places()
    assert caplog.text.count("cannot fork a child") == 2


def test_a_replaced_child_may_finish_and_its_place_is_filled_at_once(table: Table) -> None:
    assert table.table.fill_places() == NEVER
    table.table.obey({"op": "replace", "pid": 101, "why": "it is old"})
    assert table.table.fill_places() == NEVER
    assert sorted(table.table.children) == [101, 102]
    assert table.signals == [(101, signal.SIGTERM)]
    assert table.table.kill_late() == NEVER
    # One whose task does not end after its limit has the grace period only, and loses its board if that is needed.
    table.table.obey({"op": "retire", "pid": 101, "why": "a task does not end"})
    assert table.table.kill_late() <= time.monotonic() + 5
    table.table.obey({"op": "replace", "pid": 102, "why": "it is old"})
    assert table.table.fill_places() == NEVER
    assert (101, signal.SIGKILL) in table.signals


def test_outdated_children_are_replaced_as_boards_get_free(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(monkeypatch, places=4, spare=2).table
    table.replace_outdated()
    table.fill_places()
    table.outdate(1)
    table.replace_outdated()
    assert sorted(table.children) == [101, 102, 103, 104], "they are of another app"
    table.outdate(0)
    for _ in range(2):
        table.replace_outdated()
        table.fill_places()
    assert sorted(table.children) == [101, 102, 103, 104, 105, 106]
    assert [pid for pid, child in table.children.items() if child.place is None] == [101, 102]
    table.ended(101, 0)
    table.replace_outdated()
    assert [pid for pid, child in table.children.items() if child.place is None] == [102], "its board is not free yet"
    table.obey({"op": "free", "board": 0})
    table.replace_outdated()
    table.fill_places()
    assert sorted(table.children) == [102, 103, 104, 105, 106, 107]
    assert [pid for pid, child in table.children.items() if child.outdated] == [102, 103, 104]
    assert table.kill_late() == NEVER, "they may finish what they run"


def test_children_that_stop_are_killed_when_the_grace_period_is_over(table: Table) -> None:
    table.table.fill_places()
    table.table.stop(NEVER)
    assert table.table.kill_late() == NEVER, "a quiet worker waits for them for ever"
    table.table.stop(0.01)
    deadline = time.monotonic() + 30
    while (table.table.kill_late() < NEVER) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert table.signals == [(101, signal.SIGTERM), (101, signal.SIGTERM), (101, signal.SIGKILL)]
    table.table.ended(101, CRASH)
    assert table.told[-1] == {
        "op": "died", "app": 0, "board": 0, "pid": 101,
        "how": "signal 9 (the grace period is over)", "charged": False,
    }  # fmt: skip


def test_the_end_of_a_stranger_is_nobodys_end(table: Table) -> None:
    table.table.fill_places()
    table.table.ended(4711, CRASH)
    assert list(table.table.children) == [101]


class TestKeeperLink:
    @pytest.fixture
    def alive(self) -> memoryview:
        return memoryview(bytearray(8)).cast("Q")

    def test_a_failed_fork_is_tried_again_later(self, alive: memoryview, caplog: pytest.LogCaptureFixture) -> None:
        failing = [True, True, False]

        def fork(line: socket.socket) -> int:
            if failing.pop(0):
                raise no_room()
            assert line.fileno() > 0
            return 4711

        link = KeeperLink(fork, alive, LastError())
        pauses = []
        for _ in range(2):
            assert not link.check()
            pauses.append(link.place.start_at - time.monotonic())
            link.place.start_at = 0.0
        assert min(pauses) > 0.0
        assert link.check()
        assert not link.check(), "there is one"
        assert link.pid == 4711
        assert caplog.text.count("cannot fork the keeper") == 1
        link.line.close()

    def test_one_that_cannot_start_is_started_with_growing_pauses(self, alive: memoryview) -> None:
        link = KeeperLink(lambda _: 4711, alive, LastError())
        pauses = []
        for _ in range(9):
            link.place.start_at = 0.0
            assert link.check()
            link.ended(CRASH)
            pauses.append(link.place.start_at - time.monotonic())
        link.line.close()
        assert pauses[0] <= 0.0
        assert pauses[-1] > 2.0
        assert link.place.failures == 9

    def test_a_silent_one_is_killed(self, alive: memoryview, monkeypatch: pytest.MonkeyPatch) -> None:
        killed: list[int] = []
        monkeypatch.setattr(keeper_link, "send_signal", lambda pid, _: killed.append(pid))
        link = KeeperLink(lambda _: 4711, alive, LastError())
        link.check()
        link.check()
        assert killed == []
        alive[0] = time.monotonic_ns() - 6 * 10**9
        link.check()
        link.check()
        assert killed == [4711]
        link.line.close()

    def test_one_that_leaves_is_not_replaced_and_killed_when_it_does_not(
        self, alive: memoryview, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        killed: list[int] = []
        monkeypatch.setattr(keeper_link, "send_signal", lambda pid, _: killed.append(pid))
        link = KeeperLink(lambda _: 4711, alive, LastError())
        link.check()
        link.end(kill_at=NEVER)
        assert killed == []
        link.end(kill_at=0.0)
        assert killed == [4711]
        link.ended(CRASH)
        assert (link.check(), link.pid) == (False, 0)
        assert "the keeper ended" not in caplog.text
        link.line.close()

    def test_one_that_is_replaced_leaves_and_another_one_starts(
        self, alive: memoryview, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        killed: list[int] = []
        monkeypatch.setattr(keeper_link, "send_signal", lambda pid, _: killed.append(pid))
        link = KeeperLink(lambda _: 4711, alive, LastError())
        link.replace()
        assert link.check(), "there was none"
        link.replace()
        assert not link.check()
        link.ended(0)
        assert link.check(), "the next one"
        monkeypatch.setattr(keeper_link, "LEAVE_S", 0.0)
        link.replace()
        assert not link.check()
        assert killed == [4711], "it takes too long"
        link.ended(CRASH)
        assert link.check()
        assert "the keeper ended" not in caplog.text
        link.line.close()


class TestMessageLine:
    def test_messages_come_whole_and_a_line_that_has_ended_gives_none(self) -> None:
        line = MessageLine()
        assert (line.receive(), line.fds) == ([], [])
        theirs = line.open()
        theirs.sendall(b'{"op": "free"}\n{"op": ')
        assert line.receive() == [{"op": "free"}]
        theirs.sendall(b'"kill"}\n')
        assert line.receive() == [{"op": "kill"}]
        assert line.receive() == []
        line.send({"op": "born"})
        assert theirs.recv(100) == b'{"op": "born"}\n'
        theirs.close()
        assert line.receive() == []
        assert line.fds == [], "nothing is waited for any more"
        line.send({"op": "died"})

    def test_a_new_line_knows_nothing_of_the_old_one(self) -> None:
        line = MessageLine()
        with line.open() as theirs:
            theirs.sendall(b'{"op": "f')
            assert line.receive() == []
        with line.open() as theirs:
            theirs.sendall(b'{"op": "kill"}\n')
            assert line.receive() == [{"op": "kill"}]
        line.close()


class TestStopSignals:
    @pytest.fixture
    def signals(self) -> StopSignals:
        return StopSignals()

    def arrive(self, signals: StopSignals, *numbers: int) -> list[Phase]:
        os.write(signals._write_fd, bytes(numbers))  # pyright: ignore[reportPrivateUsage]
        return signals.arrived()

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    def test_the_first_one_starts_the_grace_period(self, signals: StopSignals, number: int) -> None:
        assert signals.arrived() == []
        assert self.arrive(signals, signal.SIGCHLD) == []
        assert self.arrive(signals, number) == [Phase.STOPPING]
        assert signals.phase == Phase.STOPPING

    def test_a_second_one_soon_after_is_the_same_one(
        self, signals: StopSignals, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = [1000.0]
        monkeypatch.setattr(time, "monotonic", lambda: now[0])
        assert self.arrive(signals, signal.SIGTERM, signal.SIGTERM) == [Phase.STOPPING]
        now[0] += SAME_S / 2
        assert self.arrive(signals, signal.SIGTERM) == []
        now[0] += SAME_S
        assert self.arrive(signals, signal.SIGTERM) == [Phase.AT_ONCE]
        assert self.arrive(signals, signal.SIGTERM, signal.SIGTSTP) == [], "it never goes back"

    def test_quit_is_never_the_same_one(self, signals: StopSignals) -> None:
        self.arrive(signals, signal.SIGTERM)
        assert self.arrive(signals, signal.SIGQUIT) == [Phase.AT_ONCE]

    def test_quiet_claims_no_more_and_does_not_stop(self, signals: StopSignals) -> None:
        assert self.arrive(signals, signal.SIGTSTP) == [Phase.QUIET]
        assert self.arrive(signals, signal.SIGTSTP) == []
        assert self.arrive(signals, signal.SIGTERM) == [Phase.STOPPING]

    def test_signals_that_arrive_together_are_handled_in_their_order(self, signals: StopSignals) -> None:
        together = (signal.SIGTSTP, signal.SIGCHLD, signal.SIGTERM, signal.SIGQUIT)
        assert self.arrive(signals, *together) == [Phase.QUIET, Phase.STOPPING, Phase.AT_ONCE]


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
