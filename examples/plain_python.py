"""Tasks without Django. In two terminals, in this folder:

$ streamtasks-worker --app plain_python:app --concurrency 2
$ python plain_python.py
"""

from __future__ import annotations

import asyncio
import os

from streamtasks import BoundTask, StreamTasks

app = StreamTasks(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"))


@app.task
def add(a: int, b: int) -> int:
    """Return a sum."""
    return a + b


@app.task(queue="mail")
async def greet(name: str) -> str:
    """Wait as for a slow service, without keeping a thread busy."""
    await asyncio.sleep(0.1)
    return f"Hello {name}"


@app.task(bind=True, max_retries=2)
def fetch(self: BoundTask, page: str) -> str:
    """Fail at first, as networks do, and succeed at the second attempt."""
    if self.request.retries == 0:
        raise self.retry(exc=ConnectionError("the line is busy"), countdown=0.1)
    return f"{page}, after {self.request.retries} retry"


async def main() -> None:
    """Enqueue from an event loop, and wait for results."""
    result = await greet.aenqueue("Ada")
    print(await result.aget(timeout=20))


if __name__ == "__main__":
    print(add.enqueue(2, 3).get(timeout=20))
    print(sum(result.get(timeout=20) for result in add.enqueue_many([(n, n) for n in range(10)])))
    print(fetch.delay("index.html").get(timeout=20))
    asyncio.run(main())
