"""Measure what would be lost if a master died now: what its replicas lack, and how late its file is."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, Final

from ...protocol.keys import Keys
from ..survey_types import BYTES_OF_TASK, PossibleLoss, ReplicaLack
from .scripts import script

__all__ = ["BYTES_OF_TASK", "PossibleLoss", "ReplicaLack", "loss_now"]

_WAIT_MS: Final = 1000

_REPLICA: Final = re.compile(r"^slave\d+:(.*)$", re.MULTILINE)


def loss_now(ask: Callable[..., Any], keys: Keys) -> PossibleLoss:
    """Measure what would be lost if a master died now, in at most three seconds.

    Replicas tell only once a second what they have received, so INFO alone shows too much as missing: they are asked,
    by WAIT behind a short key that is written as enqueueing with durability does.

    Args:
        ask: sends a command over one connection, and returns the reply, texts as str, or an error as a value that is
            neither str, int nor list.
        keys: of one of the shards of this master.
    """
    refused: dict[str, str] = {}

    def asked[T](kind: type[T], *words: Any) -> T | None:
        reply = ask(*words)
        if isinstance(reply, kind):
            return reply
        refused.setdefault(str(words[0]), str(reply))
        return None

    def touch() -> bool:
        call = script("touch").call(keys, id="measurement")
        source = ("EVAL", call.script.source, len(call.keys), *call.keys, *call.args)
        return asked(list, *source) is not None

    touches = touch()
    info = asked(str, "INFO", "replication")
    if info is None:
        return PossibleLoss(refused=refused)
    written, began = int(_field(info, "master_repl_offset") or 0), time.monotonic()
    count = len(_REPLICA.findall(info))
    acknowledged = asked(int, "WAIT", count, _WAIT_MS) if count and touches else None
    replication_ms = (time.monotonic() - began) * 1000 if acknowledged is not None and acknowledged >= count else None
    replicas = tuple(_lack(line, written) for line in _REPLICA.findall(asked(str, "INFO", "replication") or info))
    has_file = {"1": True, "0": False}.get(_field(asked(str, "INFO", "persistence") or "", "aof_enabled"))
    file_ms = None
    if has_file and touch():
        began = time.monotonic()
        reply = asked(list, "WAITAOF", 1, 0, 2 * _WAIT_MS)
        file_ms = (time.monotonic() - began) * 1000 if reply and reply[0] else None
    return PossibleLoss(replicas, replication_ms, has_file, file_ms, refused)


def _lack(line: str, written: int) -> ReplicaLack:
    """Read a replica from a line of INFO: ``ip=...,port=...,state=online,offset=...,lag=...``."""
    pairs = (pair.partition("=") for pair in line.strip().split(","))
    about = {name: value for name, _, value in pairs}
    is_online = about.get("state") == "online"
    # One that is being synchronized would come back empty.
    missing = max(0, written - int(about.get("offset", 0))) if is_online else written
    return ReplicaLack(f"{about.get('ip')}:{about.get('port')}", is_online, missing)


def _field(text: str, name: str) -> str:
    found = re.search(rf"^{name}:(.*?)\r?$", text, re.MULTILINE)
    return found.group(1) if found else ""
