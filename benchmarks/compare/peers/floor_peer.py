"""The floor: a hand-written loop that does the least that a stream worker can do, 100 entries at a time."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import redis
from drain import settle_batch

from compare import peer

TASKS: dict[str, Callable[..., Any]] = {"noop": peer.noop, "take": peer.take, "now": peer.now}
STREAM, GROUP, DONE = "floor", "g", "floor:done"


class System(peer.Peer):
    """One by one: SET of a state under the id and XADD in one packet. Many: XADD, pipelined by 100."""

    counter = peer.Counter(("GET", DONE))
    has_many = True

    def __init__(self) -> None:
        self.client = redis.Redis.from_url(peer.URL, protocol=2)

    async def start(self) -> None:
        self.client.xgroup_create(STREAM, GROUP, "0", mkstream=True)

    async def enqueue(self, task: str, *args: Any) -> str:
        name, body = self._body(task, args)
        pipe = self.client.pipeline(transaction=False)
        pipe.set(f"result:{name}", b"queued", nx=True, ex=peer.KEEP_S)
        pipe.xadd(STREAM, {"body": body})
        pipe.execute()
        return name

    async def enqueue_many(self, task: str, calls: Sequence[tuple[Any, ...]]) -> list[str]:
        names = []
        for start in range(0, len(calls), 100):
            pipe = self.client.pipeline(transaction=False)
            for args in calls[start : start + 100]:
                name, body = self._body(task, args)
                names.append(name)
                pipe.xadd(STREAM, {"body": body})
            pipe.execute()
        return names

    def _body(self, task: str, args: tuple[Any, ...]) -> tuple[str, bytes]:
        name = uuid.uuid4().hex
        return name, orjson.dumps({"id": name, "t": task, "a": args, "k": {}, "q": "default", "p": 0})

    async def result(self, handle: str, timeout_s: float) -> Any:
        def read() -> Any:
            value: Any = self.client.get(f"result:{handle}")
            return None if value in {None, b"queued"} else orjson.loads(value)["r"]

        return await self.poll(read, timeout_s, 0.0002)

    def worker(self, processes: int) -> list[list[str]]:
        return [["-m", "compare.peers.floor_peer", f"c{number}"] for number in range(processes)]


def run(message: dict[str, Any]) -> Any:
    """Call the task of a message."""
    return TASKS[message["t"]](*message["a"])


def work(name: str) -> None:
    """Read, run, store, acknowledge; wait on the server while there is nothing."""
    client: Any = redis.Redis.from_url(peer.URL, protocol=2, socket_timeout=None)
    while True:
        read = client.xreadgroup(GROUP, name, {STREAM: ">"}, count=100, block=1000)
        if read:
            settle_batch(client, read[0][1], run, count_in=DONE)


if __name__ == "__main__":
    work(sys.argv[1])
