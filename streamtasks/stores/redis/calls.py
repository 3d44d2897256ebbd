"""The calls that producers and readers send, and what all modules of calls are made of.

One function per script builds its KEYS and ARGV; nothing here talks to a server. What children send stands in
`child_calls`, what supervisors send in `supervisor_calls`; `queries`, `workflow_calls` and `schedule_calls` have their
own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import streamtasks_lua

from ...protocol.keys import Keys, stream_name
from ...protocol.shards import node_of
from ...settings import StoreSettings
from ..types import NewMessage

__all__ = ["MOST_BYTES", "Call", "Script", "enqueue", "finishing", "pairs", "read", "revoke", "script", "terms"]

MOST_BYTES = 512 * 1024
"""A call carries, or returns, no more bytes of envelopes than this, plus one message.

1 MiB of messages of 10 KB takes a server up to 6 ms; nobody else shall wait for more than 5.
"""

_NO_TERMS = tuple(NewMessage._field_defaults.values())[:4]


class Script(NamedTuple):
    """A script and the SHA1 by which EVALSHA names it."""

    name: str
    source: str
    sha: str


class Call(NamedTuple):
    """One EVALSHA to be."""

    script: Script
    keys: list[str]
    args: list[Any]

    def command(self) -> tuple[Any, ...]:
        """Return the words of the command."""
        return ("EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.args)


@cache
def script(name: str) -> Script:
    """Return a script by its name."""
    source = streamtasks_lua.source(name)
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


def pairs(keys: Keys, names: Iterable[str]) -> list[str]:
    """Return stream and wake list of each named stream, as include/streams.lua wants them."""
    found = []
    for name in names:
        found.append(keys.stream(name))
        found.append(keys.queue_wake(name.partition(":")[2]))
    return found


def enqueue(keys: Keys, messages: Sequence[NewMessage], settings: StoreSettings) -> Call:
    """Build enqueue: up to 100 messages of one shard."""
    numbers: dict[str, int] = {}
    members: list[Any] = []
    for message in messages:
        number = numbers.setdefault(stream_name(message.queue, message.priority), len(numbers) + 1)
        members += (message.id, number, terms(message), message.envelope)
    return Call(
        script("enqueue"),
        [
            keys.messages,
            keys.state,
            keys.delayed,
            keys.ready,
            keys.streams,
            keys.wake,
            keys.control,
            keys.links,
            keys.totals,
            keys.done,
            keys.events,
            keys.waiting,
            keys.limits,
            keys.asking,
            *pairs(keys, numbers),
            *(keys.record(message.id) for message in messages),
            *(keys.record(message.after) for message in messages if message.after),
        ],
        [len(messages), settings.events_kept, len(numbers), *numbers, *members],
    )


def terms(message: NewMessage) -> str:
    """Return what a message waits for, as include/accept.lua reads it; empty: nothing."""
    if message[4:8] == _NO_TERMS:
        return ""
    words = []
    if message.due_ms is not None:
        words.append(f"at={message.due_ms}")
    elif message.delay_ms is not None:
        words.append(f"in={message.delay_ms}")
    if message.limit is not None:
        words.append(f"limit={message.limit.interval_us},{message.limit.burst},{message.limit.name}")
        if message.expires_ms:
            words.append(f"until={message.expires_ms}")
    if message.after:
        words.append(f"after={message.after}")
    return " ".join(words)


def read(keys: Keys, ids: Sequence[str]) -> Call:
    """Build read: up to 100 ids of one shard."""
    workflows = dict.fromkeys(node[0] for one in ids if ".w" in one and (node := node_of(one)) is not None)
    return Call(
        script("read"),
        [
            keys.messages,
            keys.state,
            keys.history,
            keys.progress,
            keys.delayed,
            *map(keys.record, ids),
            *map(keys.workflow, workflows),
        ],
        [len(ids), *ids, *workflows],
    )


def finishing(keys: Keys, hour: int) -> list[str]:
    """Return the first keys of the scripts that finish messages, those of this hour and of the next one among them."""
    return [
        keys.messages,
        keys.state,
        keys.history,
        keys.delayed,
        keys.ready,
        keys.streams,
        keys.wake,
        keys.control,
        keys.done,
        keys.totals,
        keys.finished(hour),
        keys.finished(hour + 1),
        keys.counts(hour),
        keys.counts(hour + 1),
        keys.links,
        keys.events,
        keys.waiting,
        keys.limits,
        keys.asking,
    ]


def revoke(
    keys: Keys, task_id: str, hour: int, settings: StoreSettings, name: str = "", *, terminate: bool = False
) -> Call:
    """Build revoke; ``name``: of the stream, as far as known."""
    node = node_of(task_id) if ".w" in task_id else None
    workflow = "" if node is None else node[0]
    return Call(
        script("revoke"),
        [
            *finishing(keys, hour),
            keys.record(task_id),
            keys.unfolding,
            keys.workflow(workflow),
            *(pairs(keys, [name]) if name else ()),
        ],
        [
            task_id,
            int(terminate),
            hour,
            settings.index_keep_ms,
            settings.keep_ms(success=False),
            settings.events_kept,
            name,
            workflow,
        ],
    )
