"""What Sentinels tell of the replicas of a service: how many there are, and which of them are not waited for now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Final, NamedTuple

from ..nodes import Node

__all__ = ["Replicas", "Report", "is_away", "is_unseen", "report_of"]

FRESH_S: Final = 3.0
"""What a Sentinel told is believed for so long, seconds."""

SILENT_MS: Final = 1500
"""A replica that has not answered a Sentinel for so long is away: each is asked once a second."""

NO_MASTER: Final = "?"
"""The master of a server that has not been seen as a replica since its service has the present master."""


class Report(NamedTuple):
    """What one Sentinel tells of the replicas of a master.

    Attributes:
        master: whose replicas they are.
        total: how many there are, also those that are away.
        away: those that are away, see `is_away`.
        unseen: those that have not been seen as replicas since this one is the master.
        sentinels: how many Sentinels it knows, itself included.
    """

    master: Node
    total: int
    away: frozenset[Node] = frozenset()
    unseen: frozenset[Node] = frozenset()
    sentinels: int = 0


def report_of(master: Node, fields: Mapping[str, str], replicas: Sequence[Mapping[str, str]]) -> Report | None:
    """Return what a Sentinel tells, None if it does not.

    Args:
        master: which server it names as the master.
        fields: of its answer to SENTINEL MASTER.
        replicas: those of its answer to SENTINEL REPLICAS.
    """
    # The master may have changed between two of its answers.
    if "num-slaves" not in fields or (fields.get("ip"), fields.get("port")) != (master.host, str(master.port)):
        return None
    nodes = [(Node(one.get("ip", ""), int(one.get("port", 0))), one) for one in replicas]
    return Report(
        master,
        int(fields["num-slaves"]),
        frozenset(node for node, one in nodes if is_away(one)),
        frozenset(node for node, one in nodes if is_unseen(one)),
        int(fields.get("num-other-sentinels", 0)) + 1,
    )


def is_unseen(replica: Mapping[str, str]) -> bool:
    """Whether a Sentinel has not seen a replica as one since the last failover. Until then it is not promoted."""
    return replica.get("master-host", "") == NO_MASTER


def is_away(replica: Mapping[str, str]) -> bool:
    """Whether a replica cannot have what is written now, and is not promoted before it has.

    It is called dead, it is silent and not connected, or it is a server that was a master until another one was
    promoted. A replica that is being promoted is not away: it was one of this master.

    Args:
        replica: the fields of an answer to SENTINEL REPLICAS.
    """
    flags = replica.get("flags", "").split(",")
    if "promoted" in flags:
        return False
    if "s_down" in flags or "o_down" in flags:
        return True
    unseen = is_unseen(replica)
    if ("disconnected" in flags or unseen) and int(replica.get("last-ok-ping-reply", 0)) > SILENT_MS:
        return True
    return unseen and replica.get("role-reported") == "master"


class Replicas:
    """What all Sentinels have told of the replicas of one service. May be shared between threads.

    Attributes:
        total: how many there are, also those that are away, as a Sentinel told last; None: none has told us.
    """

    def __init__(self) -> None:
        self.total: int | None = None
        self._reports: dict[Node, tuple[float, Report]] = {}
        self._masters: tuple[Node | None, Node | None] = None, None  # the one before, and the last

    def take(self, sentinel: Node, report: Report, now: float) -> None:
        """Take in a report; ``now``: `time.monotonic`."""
        self.total = report.total
        if report.master != self._masters[1]:
            self._masters = self._masters[1], report.master
        self._reports[sentinel] = now, report

    def away(self, master: Node | None, known_sentinels: int, now: float) -> int:
        """Return how many replicas of a master are away by most Sentinels.

        One Sentinel is not enough: it may be cut off, with us, from replicas that the others promote. The master before
        is away until it has been seen as a replica.
        """
        before, last = self._masters
        fresh, enough = self._fresh(master, known_sentinels, now)
        return len(
            _most(
                enough,
                (
                    node
                    for report in fresh
                    for node in report.away | report.unseen
                    if node in report.away or (node == before and last == master)
                ),
            )
        )

    def outranks(self, connected: Set[Node], master: Node | None, known_sentinels: int, now: float) -> bool:
        """Whether a replica that is away would be promoted before any of those that are connected.

        Those have been seen as replicas of this master by too few Sentinels, and until then they are not promoted.
        """
        fresh, enough = self._fresh(master, known_sentinels, now)
        unseen = _most(enough, (node for report in fresh for node in report.unseen))
        away = _most(enough, (node for report in fresh for node in report.away))
        return bool(connected) and unseen >= connected and bool(away - unseen)

    def _fresh(self, master: Node | None, known_sentinels: int, now: float) -> tuple[list[Report], int]:
        """Return what was told of a master lately, and how many Sentinels are most of them."""
        fresh = [
            report for at, report in list(self._reports.values()) if report.master == master and now - at <= FRESH_S
        ]
        return fresh, max([known_sentinels, *(report.sentinels for report in fresh)]) // 2 + 1


def _most(enough: int, votes: Iterable[Node]) -> set[Node]:
    return {node for node, count in Counter(votes).items() if count >= enough}
