"""An app in memory that signs or encrypts, and all that its store holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from streamtasks import Ignore, Retry, StreamTasks, current_attempt
from streamtasks.stores.memory import MemoryServer

URL = "memory://sealed"
KEY, OTHER = "the first secret, long enough to be one", "another secret, long enough to be one"
MARKER = "marker-4711"
WAYS: dict[str, dict[str, Any]] = {
    "signed": {"signing_keys": (KEY,)},
    "encrypted": {"encryption_keys": (KEY,)},
    "compressed": {"encryption_keys": (KEY,), "compression": "gzip"},
    "pickled": {"serializer": "pickle", "signing_keys": (KEY,), "encryption_keys": (OTHER,)},
}
SEEN: list[Any] = []
"""What the task "progress" saw: its progress, and all that the store held meanwhile."""


def app_of(**settings: Any) -> StreamTasks:
    given: dict[str, Any] = {"unknown_task_limit": 1} | settings
    app = StreamTasks(URL, **given)
    app.task(name="echo")(lambda value, *more: [value, *more])
    app.task(name="join")(lambda values, *more: [values, *more])
    app.task(name="quiet", ignore_result=True)(lambda value: value)

    @app.task(name="fail")
    def fail(text: str) -> None:
        raise ValueError(text)

    @app.task(name="again", max_retries=3)
    def again(text: str) -> int:
        number = current_attempt().number
        if number < 3:
            raise Retry(text, delay_s=1)
        return number

    @app.task(name="skip")
    def skip(text: str) -> None:
        raise Ignore(text)

    @app.task(name="progress")
    def progress(text: str) -> Any:
        current_attempt().set_progress(text=text)
        SEEN.append(app.get_result(current_attempt().id).info)
        SEEN.append(everything())
        return text

    return app


def server() -> MemoryServer:
    return MemoryServer.at(URL)


def everything() -> str:
    """Return all that the store holds, as text."""
    return "\n".join(map(repr, _walk(server().__dict__, set())))


def _walk(value: Any, known: set[int]) -> Iterator[Any]:
    if id(value) in known:
        return
    if isinstance(value, (str, bytes, int, float)):
        yield value
        return
    known.add(id(value))
    if isinstance(value, dict):
        for pair in list(value.items()):
            yield from _walk(pair, known)
    elif isinstance(value, (list, tuple, set, frozenset)) or type(value).__name__ == "deque":
        for one in list(value):
            yield from _walk(one, known)
    elif type(value).__module__.startswith("streamtasks.stores.memory"):
        names = [name for cls in type(value).__mro__ for name in getattr(cls, "__slots__", ())]
        names += getattr(value, "__dict__", {})
        for name in names:
            yield from _walk(getattr(value, name, None), known)


def server_shard() -> Any:
    return app_of().store.shard("u0")  # type: ignore[attr-defined]
