"""What operators may do with a SQL store: it keeps no audit entries and pauses nothing yet, and says so."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NoReturn

from streamtasks.exceptions import ServerNotSupported
from streamtasks.protocol.log_lines import TaskLogs
from streamtasks.protocol.state import DeadLetter
from streamtasks.stores.inspection_types import NewLog
from streamtasks.stores.steering_types import AuditEntry, IdPage, Pause

__all__ = ["SteeringMethods"]


def _refuse(what: str, instead: str) -> NoReturn:
    raise ServerNotSupported(f"A DatabaseBackend cannot {what} yet: {instead}.")


class SteeringMethods:
    """The methods of `SteeringStore`, of which most are refused."""

    def record_audit(self, entry: AuditEntry) -> None:
        """Keep nothing.

        Raises:
            ServerNotSupported: always, so that nothing is changed without a trace.
        """
        _refuse(f"note who asked for {entry.operation}", "use the methods of the backend, as revoke()")

    def audit_entries(self, limit: int = 100, before: str = "") -> list[AuditEntry]:  # noqa: ARG002
        """Return audit entries: there are none."""
        return []

    def discard_dead_letters(self, letters: Sequence[DeadLetter]) -> int:
        """Refuse to delete dead letters.

        Raises:
            ServerNotSupported: always.
        """
        _refuse(f"discard {len(letters)} dead letters", "the oldest go by themselves, see max_dead_letters")

    def waiting_ids(self, kind: str, cursor: str = "", limit: int = 100, queue: str = "") -> IdPage:  # noqa: ARG002
        """Refuse to list tasks.

        Raises:
            ServerNotSupported: always.
        """
        _refuse(f"list {kind} tasks", "read the table of messages")

    def finished_ids(self, outcomes: Collection[str], cursor: str = "", limit: int = 100) -> IdPage:  # noqa: ARG002
        """Refuse to list tasks.

        Raises:
            ServerNotSupported: always.
        """
        _refuse("list finished tasks", "read the table of records")

    def request_worker(self, worker: str, request: str) -> bool:
        """Refuse to pass a request on.

        Raises:
            ServerNotSupported: always.
        """
        _refuse(f"ask worker {worker} to {request}", "send its supervisor SIGTSTP to drain it, SIGTERM to stop it")

    def pause(self, queue: str, actor: str, reason: str, task: str = "") -> bool:  # noqa: ARG002
        """Refuse to pause.

        Raises:
            ServerNotSupported: always.
        """
        _refuse(f"pause {queue or task or 'everything'}", "stop the workers that serve it")

    def resume(self, queue: str, task: str = "") -> bool:
        """Refuse to resume.

        Raises:
            ServerNotSupported: always.
        """
        _refuse(f"resume {queue or task or 'everything'}", "nothing is paused")

    def pauses(self) -> list[Pause]:
        """Return what is paused: nothing can be."""
        return []

    def logs(self, task_id: str, known: int = 0) -> TaskLogs | None:  # noqa: ARG002
        """Refuse to return logs.

        Raises:
            ServerNotSupported: always.
        """
        _refuse(f"show what {task_id} has logged", "look into the logs of its worker")

    def append_logs(self, some: Sequence[NewLog], nonce: str) -> list[int]:  # noqa: ARG002
        """Refuse to keep logs; see `StoreSettings.keeps_logs`.

        Raises:
            ServerNotSupported: always.
        """
        _refuse(f"keep what {len(some)} tasks have logged", "set log_bytes to 0")

    def stack(self, task_id: str, nonce: str, *, ask: bool) -> bytes | None:  # noqa: ARG002
        """Refuse to ask for stacks.

        Raises:
            ServerNotSupported: always.
        """
        _refuse(f"show the stack of {task_id}", "use py-spy on the machine of its worker")

    def answer_stack(self, task_id: str, nonce: str, answer: bytes) -> None:
        """Do nothing: nobody can ask."""
