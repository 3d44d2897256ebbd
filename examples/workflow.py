"""Tasks that follow each other. In two terminals, in this folder:

$ streamtasks-worker --app workflow:app --concurrency 2
$ python workflow.py
"""

from __future__ import annotations

import os

from streamtasks import StreamTasks, chain, chord, group
from streamtasks.exceptions import ParentFailed

app = StreamTasks(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"))

TEXTS = ["to be or not to be", "that is the question", "to die to sleep"]


@app.task
def count(text: str, word: str) -> int:
    """Return how often a word stands in a text."""
    return text.split().count(word)


@app.task
def total(counts: list[int]) -> int:
    """Return the sum of what the members of a group returned."""
    return sum(counts)


@app.task
def report(number: int, word: str) -> str:
    """Return a sentence; the result of the task before comes first."""
    return f"{word!r} stands there {number} times"


@app.task
def fail() -> int:
    """Fail."""
    raise ValueError("no text")


if __name__ == "__main__":
    counted = chord(group(count.s(text, "to") for text in TEXTS), total.s())
    result = chain(counted, report.s("to")).apply_async()
    print(result.get(timeout=20))

    result = chain(fail.s(), report.s("to")).apply_async()
    try:
        result.get(timeout=20)
    except ParentFailed as error:
        print(f"ParentFailed: {error}")
