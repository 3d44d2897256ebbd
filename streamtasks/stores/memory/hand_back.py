"""hand_back.lua, charge.lua and reclaim.lua: messages leave hands without an outcome, and keep their place."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Final

from ...protocol.json import dumps
from ...settings import StoreSettings
from ..types import Charge, Claimed, ClaimId, Exhausted, Reclaim
from .claim import REMEMBERED_MS
from .limits import keep_token, limit_of, wait
from .read import is_running
from .shard import RETURNED, SUSPECT, Live, Shard

__all__ = ["charge", "hand_back", "reclaim"]

GONE_REMEMBERED_MS: Final = 600_000


def hand_back(
    shard: Shard, claimed: Sequence[Claimed], invalidate: ClaimId | None, *, gone: bool, alone: Container[str] = ()
) -> list[bool]:
    """Return messages to their places, uncharged; ``invalidate``: a claim that shall return nothing from now on."""
    answers = [_give_back(shard, c.id, c.token, alone=c.id in alone) for c in claimed]
    tokens = {c.token for c in claimed}
    if invalidate is not None:
        token = f"{invalidate.consumer}#{invalidate.sequence}"
        tokens.add(token)
        for task_id in shard.batches.get(token, ()):
            _give_back(shard, task_id, token, unstarted=True)
        sequence, _, expires_ms = shard.claims.get(invalidate.consumer, (0, "", 0))
        # A later claim means that the child knows already: it has read its board and gone on.
        if expires_ms <= shard.now_ms() or sequence <= invalidate.sequence:
            remembered_ms = GONE_REMEMBERED_MS if gone else REMEMBERED_MS
            shard.claims[invalidate.consumer] = (invalidate.sequence, "void", shard.now_ms() + remembered_ms)
        if gone and shard.ready:
            shard.ring("")  # it may have died with the ring in its hands
    shard.release(tokens)
    return answers


def _give_back(shard: Shard, task_id: str, token: str, *, unstarted: bool = False, alone: bool = False) -> bool:
    message = shard.held(task_id, token)
    if message is None:
        return False
    message.attempts -= 1
    limit = None if message.phase == "X" else limit_of(message)
    if limit is not None and message.phase == "R" and not unstarted:
        shard.stream(message.name).drop(message.entry)
        message.suspect = message.suspect or alone
        wait(shard, message, limit, first=True)  # its next start is another one
        return True
    if limit is not None:
        keep_token(shard, message, limit)
    message.set_down("S" if alone else "Q")
    shard.put_back(message, SUSPECT if alone else RETURNED)
    return True


def charge(shard: Shard, attempts: Sequence[tuple[Claimed, int, str]], settings: StoreSettings) -> list[Charge]:
    """Count a crash against attempts whose child died."""
    answers: list[Charge] = []
    tokens: set[str] = set()
    for claimed, started_ms, report in attempts:
        message = shard.held(claimed.id, claimed.token)
        if message is None:
            answers.append(Charge.STALE)
        elif message.crashes + 1 >= settings.crash_limit:
            answers.append(Charge.LIMIT)
        else:
            tokens.add(claimed.token)
            answers.append(_charge_one(shard, message, started_ms, report, settings))
    shard.release(tokens)
    return answers


def _charge_one(shard: Shard, message: Live, started_ms: int, report: str, settings: StoreSettings) -> Charge:
    message.crashes += 1
    message.settled = message.token
    message.first_ms = message.first_ms or started_ms
    message.history += report.encode() + b"\n"
    shard.totals["CRASH"] += 1
    limit = None if message.phase == "X" else limit_of(message)
    if message.crashes == 1 and limit is not None:
        shard.stream(message.name).drop(message.entry)
        wait(shard, message, limit, first=True)
        return Charge.AT_ONCE
    if message.crashes == 1 or message.phase == "X":
        message.set_down("Q")
        shard.put_back(message, RETURNED)
        return Charge.AT_ONCE
    shard.stream(message.name).drop(message.entry)
    message.entry = ""
    message.set_down("D")
    shard.park(message, shard.now_ms() + round(settings.crash_delay_s * 1000))
    return Charge.AFTER_DELAY


def reclaim(shard: Shard, settings: StoreSettings) -> Reclaim:
    """Take expired claims from workers that vanished; what they held becomes suspect."""
    now_ms = shard.now_ms()
    # A silence that no beat has noticed yet counts as well.
    if now_ms < shard.hold_until_ms or now_ms - shard.last_beat_ms > settings.lease_ms / 2:
        return Reclaim(0, [])
    reclaimed = 0
    exhausted: list[Exhausted] = []
    expired = sorted((until_ms, token) for token, until_ms in shard.leases.items() if until_ms <= now_ms)
    for _, token in expired:
        stays = False
        for task_id in shard.batches.get(token, ()):
            message = shard.held(task_id, token)
            if message is None:
                continue
            if is_running(message) and message.lost + 1 >= settings.lost_limit:
                exhausted.append(_exhausted(message))
                stays = True
            else:
                _take_over(shard, message)
                reclaimed += 1
        if stays:
            shard.leases[token] = now_ms + settings.lease_ms  # until the caller has settled, or asks again
        else:
            shard.leases.pop(token, None)
            shard.batches.pop(token, None)
    if reclaimed:
        shard.totals["RECLAIMED"] += reclaimed
    return Reclaim(reclaimed, exhausted)


def _exhausted(message: Live) -> Exhausted:
    return Exhausted(
        message.id,
        message.token,
        message.name,
        message.entry,
        message.attempts,
        message.started_ms,
        message.first_ms,
    )


def _take_over(shard: Shard, message: Live) -> None:
    if is_running(message):
        message.lost += 1
        worker = message.token.rpartition("#")[0]
        report = {"kind": "LOST", "attempt": message.attempts, "worker": worker, "started": message.started_ms}
        message.history += dumps(report) + b"\n"
    else:
        message.attempts -= 1
    limit = None if message.phase == "X" else limit_of(message)
    if limit is not None:
        shard.stream(message.name).drop(message.entry)
        message.suspect = True
        wait(shard, message, limit, first=True)
        return
    message.set_down("S")
    shard.put_back(message, SUSPECT)
