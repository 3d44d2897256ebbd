"""Processes as the root sees them: its children, and what is done with them."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from ..process.board import Board

__all__ = ["Child", "drain", "end", "how_it_ended", "send_signal"]


@dataclass(slots=True)
class Child:
    place: int  # which of the worker's places it fills
    app: int
    board: Board
    pid: int
    born: float
    ended_by_us: str = ""
    retired_at: float = 0.0  # it claims no more, and another one fills its place


def end(child: Child, why: str) -> None:
    """Kill a child; that is no crash of what it runs."""
    if not child.ended_by_us:
        child.ended_by_us = why
        send_signal(child.pid, signal.SIGKILL)


def how_it_ended(status: int) -> str:
    return f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit status {os.WEXITSTATUS(status)}"


def send_signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def drain(fd: int) -> None:
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        return
