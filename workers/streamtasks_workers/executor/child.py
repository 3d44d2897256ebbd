"""A child process: one consumer, one channel, one executor."""

from __future__ import annotations

import gc
import io
import logging
import os
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from streamtasks.application import Application
from streamtasks.stores.factory import open_store

from ..process.board import Board
from ..process.counters import Counters
from ..process.fork_guard import guard_forks
from ..process.groups import lead_a_group
from ..process.lifeline import STOP_SIGNALS, Lifeline, die_with_parent
from ..process.log_capture import LogCapture
from ..process.logs import OWN, contain_handlers
from ..process.options import WorkerOptions
from ..process.shard_table import ShardTable
from ..process.suspect_permit import SuspectPermit
from ..process.title import set_title
from .attempt_log import AttemptLog
from .concurrent import ConcurrentExecutor
from .guards import INTERRUPT
from .inline import InlineExecutor
from .limits import Limits
from .link import Link
from .runner import Runner
from .shard_choice import ShardChoice
from .stacks import start_answering

__all__ = ["run_child"]

logger = logging.getLogger("streamtasks.worker")

OOM_SCORE: Final = 300
"""Added to a child's ``oom_score_adj``."""


def run_child(
    app: Application,
    options: WorkerOptions,
    board: Board,
    life_fd: int,
    parent_pid: int,
    table: ShardTable | None,
    permit: SuspectPermit,
    counters: Counters | None = None,
) -> int:
    """Live as a child; return the exit status. Called right after the fork, never returns to the supervisor's loop."""
    die_with_parent(parent_pid)
    set_title("child")
    lead_a_group()
    gc.enable()
    _die_first_without_memory()
    contain_handlers()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what a task prints is visible at once
    if app.settings.keeps_logs:
        LogCapture(board.lines, app.settings.log_bytes, (*OWN, app.task_log.logger)).start()
    start_answering(board, Runner.codes())
    lifeline = Lifeline(
        life_fd, options.max_tasks_per_child, options.max_memory_per_child_mb, lambda: board.stop_requested
    )
    store = open_store(app.settings)
    limits = Limits(options.soft_time_limit_s, options.time_limit_s)
    log = AttemptLog(app.task_log)
    runner = Runner(
        app,
        board.consumer,
        store.read,
        limits,
        store.gather,
        store.start_workflow,
        store.workers,
        log,
        store.rewrite,
    )
    channel = store.channel(board.tag, board.consumer, options.filter)
    choice = None
    if table is not None and board.doorbell is not None:
        choice = ShardChoice(store.tags, table, board.doorbell, permit, store.tags.index(board.tag))
    if counters is not None:
        counters.adopt()
    link = Link(channel, board, runner, choice, counters)
    executor: ConcurrentExecutor | InlineExecutor
    if options.threads or options.async_concurrency:
        executor = ConcurrentExecutor(
            link,
            board,
            runner,
            lifeline,
            threads=options.threads,
            coroutines=options.async_concurrency,
            counters=counters,
        )
    else:
        executor = InlineExecutor(link, board, runner, lifeline, counters)

    def forget() -> None:
        board.detach()
        if counters is not None:
            counters.detach()
        channel.close()

    guard_forks((*STOP_SIGNALS, INTERRUPT), lifeline.descriptors, forget)
    with ExitStack() as stack:
        for middleware in app.middleware:
            stack.enter_context(middleware.in_child())
        runner.enter_child()
        logger.debug("child %d of %s is ready", os.getpid(), app.label)
        executor.run()
    channel.close()
    return 0


def _die_first_without_memory() -> None:
    """Let the kernel choose a child before the supervisor and the keeper when memory runs out (Linux)."""
    score = Path("/proc/self/oom_score_adj")
    with suppress(OSError, ValueError):
        score.write_text(str(min(1000, int(score.read_text()) + OOM_SCORE)))
