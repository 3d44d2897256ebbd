"""What a task changes in its process is restored before the next one, without a look after each."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamtasks_workers.process.process_calls import NOTICED, PLAIN
from streamtasks_workers.process.process_state import LOOK_NS, ProcessState

NUMBER = signal.SIGUSR2


def _handle(*_: object) -> None:
    """A handler of the worker's."""


@pytest.fixture
def state() -> Iterator[ProcessState]:
    """The state of this process, as a child's executor takes it before its first attempt."""
    timer = signal.setitimer(signal.ITIMER_REAL, 0)  # the runner of the tests may have one of its own
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.signal(NUMBER, _handle), signal.set_wakeup_fd(write)
    directory, umask = Path.cwd(), os.umask(0o22)
    found = ProcessState((NUMBER,))
    found.note_timers()
    found.after_attempt("first", time.monotonic_ns())
    yield found
    signal.set_wakeup_fd(before[1])
    signal.signal(NUMBER, before[0])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {NUMBER})
    os.chdir(directory)
    os.umask(umask)
    signal.setitimer(signal.ITIMER_REAL, *timer)
    for fd in (read, write):
        os.close(fd)


def _state() -> list[object]:
    umask = PLAIN.umask(0)
    PLAIN.umask(umask)
    wakeup_fd = PLAIN.set_wakeup_fd(-1)
    PLAIN.set_wakeup_fd(wakeup_fd, warn_on_full_buffer=False)
    timers = [signal.getitimer(timer)[0] for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)]
    mask = PLAIN.pthread_sigmask(signal.SIG_BLOCK, ())
    return [Path.cwd(), umask, wakeup_fd, timers, mask, signal.getsignal(NUMBER)]


def _chdir_by_descriptor() -> None:
    fd = os.open("/", os.O_RDONLY)
    os.fchdir(fd)
    os.close(fd)


CHANGES: dict[str, Callable[[], object]] = {
    "handler": lambda: signal.signal(NUMBER, signal.SIG_IGN),
    "wakeup": lambda: signal.set_wakeup_fd(-1),
    "mask": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {NUMBER}),
    "alarm": lambda: signal.alarm(100),
    "real": lambda: signal.setitimer(signal.ITIMER_REAL, 100),
    "virtual": lambda: signal.setitimer(signal.ITIMER_VIRTUAL, 100),
    "prof": lambda: signal.setitimer(signal.ITIMER_PROF, 100),
    "directory": lambda: os.chdir("/"),
    "open directory": _chdir_by_descriptor,
    "umask": lambda: os.umask(0o777),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_restored_at_once(state: ProcessState, name: str, caplog: pytest.LogCaptureFixture) -> None:
    before = _state()
    now = time.monotonic_ns()
    state.after_attempt("earlier", now + 2 * LOOK_NS)
    CHANGES[name]()
    with caplog.at_level(logging.WARNING, "streamtasks.worker"):
        state.after_attempt("mine", now + 2 * LOOK_NS + 1)
    assert _state() == before
    assert "task mine has changed" in caplog.text
    assert not NOTICED.changed


def test_what_code_in_c_changes_is_found_by_the_next_look(
    state: ProcessState, caplog: pytest.LogCaptureFixture
) -> None:
    before = _state()
    now = time.monotonic_ns() + LOOK_NS
    state.after_attempt("earlier", now)
    ctypes.CDLL(None).umask(0o777)
    with caplog.at_level(logging.WARNING, "streamtasks.worker"):
        state.after_attempt("mine", now + LOOK_NS)
        assert _state() == before
        ctypes.CDLL(None).umask(0o777)
        state.before_waiting()
    assert _state() == before
    assert "task mine, or one just before it, has changed the umask, to 777" in caplog.text


def test_beside_other_attempts_only_signals_are_restored(state: ProcessState) -> None:
    before, now = _state(), time.monotonic_ns()
    signal.signal(NUMBER, signal.SIG_IGN)
    os.umask(0o777)
    state.after_attempt("mine", now, alone=False)
    assert signal.getsignal(NUMBER) is _handle
    assert _state()[1] == 0o777
    state.after_attempt("last", now + 1)
    assert _state() == before


def test_timers_that_ran_before_the_first_attempt_go_on() -> None:
    signal.setitimer(signal.ITIMER_PROF, 100)
    try:
        state = ProcessState(())
        state.note_timers()
        os.umask(os.umask(0o22))
        state.after_attempt("mine", time.monotonic_ns())
        assert signal.getitimer(signal.ITIMER_PROF)[0] > 0
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def test_functions_that_note_their_calls_pass_for_themselves() -> None:
    ProcessState(())
    assert os.chdir in os.supports_fd
    assert os.chdir.__name__ == "chdir"
    with pytest.raises(FileNotFoundError):
        os.chdir("/nowhere")
    with pytest.raises(TypeError):
        os.umask()  # type: ignore[call-arg]
