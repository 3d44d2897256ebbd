"""Answer questions for the stacks of what this worker's children run."""

from __future__ import annotations

import json
import time
from typing import Final, NamedTuple, override

from ..process.board import Board, Slot
from .base import Role, ServedApp

__all__ = ["Stacks"]

LOOK_S: Final = 0.02

DEADLINE_S: Final = 2.0
"""A child that does not answer in this time, seconds, does not get to it."""

_SILENT: Final = (
    f"its process has not answered within {DEADLINE_S:g} s: it runs code in C that does not let go of the interpreter, "
    "or gets no processor"
)


class _Question(NamedTuple):
    """A question: of which task, its nonce, until when the child may answer (monotonic seconds)."""

    task_id: str
    nonce: str
    deadline: float


class Stacks(Role):
    """Asks children by their boards, one question at a time each, and sends their answers to the store."""

    per_shard = False
    wake_on = "stack"

    def __init__(self, app: ServedApp, tag: str = "") -> None:
        super().__init__(app, tag)
        self._heard: list[_Question] = []
        self._asked: dict[int, _Question] = {}  # by the number of the board
        self.interval_s = 3600.0

    @override
    def heard(self, tag: str, text: str) -> None:
        """Take in ``stack <id> <nonce>``."""
        _, task_id, nonce = text.split(" ")
        self._heard.append(_Question(task_id, nonce, time.monotonic() + DEADLINE_S))
        super().heard(tag, text)

    @override
    def missed(self, tag: str) -> None:
        """Do nothing: whoever asks asks again."""

    @override
    async def run_once(self) -> float | None:
        now = time.monotonic()
        for number, question in list(self._asked.items()):
            child = self.app.children.get(number)
            answer = None if child is None else child.board.stacks.answer()
            if answer is None and child is not None and now < question.deadline:
                continue
            del self._asked[number]
            if answer is not None:
                await self.store.answer_stack(question.task_id, question.nonce, answer)
            elif child is not None:
                silent = json.dumps({"stacks": [], "silent": _SILENT}).encode()
                await self.store.answer_stack(question.task_id, question.nonce, silent)
        later = []
        for question in self._heard:
            for number, child in list(self.app.children.items()):
                if not _runs(child.board, question.task_id):
                    continue
                if number in self._asked:
                    later.append(question)
                else:
                    child.board.stacks.ask(question.task_id)
                    self._asked[number] = question._replace(deadline=now + DEADLINE_S)
                break
        self._heard = [one for one in later if one.deadline > now]
        return LOOK_S if self._asked or self._heard else None


def _runs(board: Board, task_id: str) -> bool:
    """Whether a child runs a task now."""
    for slot, state in enumerate(board.states()):
        if state == Slot.RUNNING:
            try:
                if board.claimed(slot).id == task_id:
                    return True
            except ValueError:
                continue
    return False
