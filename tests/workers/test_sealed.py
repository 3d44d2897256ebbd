"""All that crosses a store is signed or encrypted, and what lies is refused: in memory, where all of it can be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from streamtasks import Ignore, Message, Retry, State, StreamTasks, chain, chord, current_attempt, group
from streamtasks.exceptions import NotAuthentic, UnknownKey
from streamtasks.protocol.message import split_body
from streamtasks.protocol.state import DeadLetter
from streamtasks.schedules import every
from streamtasks.stores.memory import MemoryServer
from streamtasks_workers.testing.in_process import InProcessWorker

URL = "memory://sealed"
KEY, OTHER = "the first secret, long enough to be one", "another secret, long enough to be one"
MARKER = "marker-4711"
WAYS: dict[str, dict[str, Any]] = {
    "signed": {"signing_keys": (KEY,)},
    "encrypted": {"encryption_keys": (KEY,)},
    "compressed": {"encryption_keys": (KEY,), "compression": "gzip"},
    "pickled": {"serializer": "pickle", "signing_keys": (KEY,), "encryption_keys": (OTHER,)},
}


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
        seen.append(app.get_result(current_attempt().id).info)
        seen.append(everything())
        return text

    return app


seen: list[Any] = []


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


@pytest.fixture(autouse=True)
def empty() -> None:
    server().flush()
    seen.clear()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> dict[str, Any]:
    return WAYS[request.param] | {"require_signed": True}


@pytest.fixture
def app(way: dict[str, Any]) -> StreamTasks:
    return app_of(**way)


@pytest.fixture
def worker(app: StreamTasks) -> InProcessWorker:
    return InProcessWorker(app)


def unread(app: StreamTasks) -> bool:
    """Whether nothing in the store shows the marker; of what is only signed, nothing is to be hidden."""
    return not app.settings.encryption_keys or MARKER not in everything()


def test_outcomes_of_all_kinds(app: StreamTasks, worker: InProcessWorker) -> None:
    results = {name: app.tasks[name].enqueue(MARKER) for name in app.tasks}
    headed = app.tasks["echo"].apply_async(({"deep": [MARKER] * 500},), headers={"h": MARKER})
    assert unread(app)
    worker.run_until_idle()
    assert unread(app)
    assert results["echo"].get(0) == [MARKER]
    assert headed.get(0) == [{"deep": [MARKER] * 500}]
    assert results["quiet"].get(0) is None
    assert results["skip"].get(0) is None
    with pytest.raises(ValueError, match=MARKER):
        results["fail"].get(0)
    assert results["again"].get(0) == 3
    [snapshot] = app.store.read([results["again"].id])
    assert snapshot is not None
    assert [report["error"]["message"] for report in snapshot.reports] == [MARKER, MARKER]
    progress, inside = seen
    assert progress == {"text": MARKER}
    assert MARKER not in inside or not app.settings.encryption_keys


def test_links_and_workflows(app: StreamTasks, worker: InProcessWorker) -> None:
    echo, join, fail = app.tasks["echo"], app.tasks["join"], app.tasks["fail"]
    linked = echo.apply_async((MARKER,), link=[echo.s(2), chain(echo.s(3), echo.s(4)), group(echo.s(5), echo.s(6))])
    failed = fail.apply_async((MARKER,), link_error=[echo.s("handler")])
    line = chain(echo.s(MARKER), echo.s(1), group(echo.s(2), echo.s(3)), join.s(4)).apply_async()
    fan = chord([echo.s(MARKER, number) for number in range(5)], join.s("body")).apply_async()
    nested = group(group(echo.s(MARKER), echo.s(2)), echo.s(3)).apply_async()
    part = chord([echo.s(MARKER), fail.s(MARKER), echo.s(3)], join.s(), on_error="collect").apply_async()
    assert unread(app)
    worker.run_until_idle()
    assert unread(app)
    first, _, several = linked.children
    assert app.get_result(first).get(0) == [[MARKER], 2]
    assert app.get_group(several).get(0) == [[[MARKER], 5], [[MARKER], 6]]
    assert app.get_result(failed.children[0]).get(0)[0] == failed.id
    assert line.get(0) == [[[[[MARKER], 1], 2], [[[MARKER], 1], 3]], 4]
    assert fan.get(0) == [[[MARKER, number] for number in range(5)], "body"]
    assert nested.get(0) == [[[MARKER], [2]], [3]]
    assert [part.get(0)[0][place] for place in (0, 2)] == [[MARKER], [3]]
    assert part.get(0)[0][1]["message"] == MARKER
    assert app.dead_letters() == []


def test_failed_nodes_run_again_beside_known_results(app: StreamTasks, worker: InProcessWorker) -> None:
    works = False

    @app.task(name="sometimes")
    def sometimes(value: Any) -> Any:
        if not works:
            raise ValueError(value)
        return value

    echo = app.tasks["echo"]
    fan = chord([echo.s(1), sometimes.s(MARKER), chain(echo.s(2), sometimes.s())], app.tasks["join"].s())
    first = fan.apply_async()
    worker.run_until_idle()
    works = True
    again = first.workflow.retry_failed()
    worker.run_until_idle()
    assert again.get(0) == [[[1], MARKER, [2]]]
    assert unread(app)


def test_schedules(app: StreamTasks, worker: InProcessWorker, way: dict[str, Any]) -> None:
    echo = app.tasks["echo"]
    app.schedules.create("nightly", echo.s(MARKER), every(60))
    assert unread(app)
    assert app.schedules.get("nightly").args == (MARKER,)
    [stored] = app.store.schedules(["nightly"])
    assert stored is not None
    app.schedules.create("nightly", echo.s(MARKER), every(60))
    assert app.store.schedules(["nightly"]) == [stored]  # to the byte: nothing was changed
    server().clock.advance(61)
    ran = worker.run_ready()
    assert [(one.task, one.state) for one in ran] == [("echo", "SUCCESS")]
    assert app.get_result(ran[0].id).get(0) == [MARKER]


def test_what_others_schedule_without_a_key_is_not_fired(
    app: StreamTasks, worker: InProcessWorker, caplog: pytest.LogCaptureFixture
) -> None:
    outside = app_of()
    outside.schedules.create("forged", outside.tasks["echo"].s(1), every(60))
    app.schedules.create("own", app.tasks["echo"].s(2), every(60))
    assert "is not signed, and require_signed is on" in app.schedules.get("forged").error
    server().clock.advance(61)
    assert [app.get_result(one.id).get(0) for one in worker.run_ready()] == [[2]]
    assert "the schedule 'forged' cannot be fired by this worker" in caplog.text
    moving = app_of(**{**WAYS["signed"], "signing_keys": app.settings.signing_keys})
    if moving.settings.signing_keys:  # a process that does not require it yet signs it by any change
        moving.schedules.update("forged")
        if not app.settings.encryption_keys:
            assert app.schedules.get("forged").error == ""


def body_of(task_id: str) -> bytes:
    body: bytes = server_shard().live[task_id].body
    return body


def server_shard() -> Any:
    return app_of().store.shard("u0")  # type: ignore[attr-defined]


def put(task_id: str, envelope: bytes) -> None:
    message = server_shard().live[task_id]
    message.body = b"%d %b" % (split_body(message.body)[0], envelope)


def dead(app: StreamTasks, worker: InProcessWorker) -> DeadLetter:
    """Run everything; a neighbour runs, and one message becomes a dead letter."""
    neighbour = app.tasks["echo"].enqueue("neighbour")
    worker.run_until_idle()
    assert neighbour.get(0) == ["neighbour"]
    [letter] = app.dead_letters()
    [snapshot] = app.store.read([letter.id])
    assert snapshot is not None
    assert snapshot.state == State.DEAD
    return letter


class TestMessagesThatLie:
    def test_unsigned(self, app: StreamTasks, worker: InProcessWorker) -> None:
        forged = app_of().tasks["echo"].enqueue(1)
        letter = dead(app, worker)
        assert letter.id == forged.id
        assert letter.reason == "refused: unsigned; give its writer signing_keys, or enqueue it again"
        with pytest.raises(NotAuthentic, match="require_signed is on"):
            letter.message()
        with pytest.raises(NotAuthentic, match="require_signed is on"):
            app.get_result(forged.id).get(0)

    def test_a_changed_byte(self, app: StreamTasks, worker: InProcessWorker) -> None:
        result = app.tasks["echo"].enqueue(1)
        envelope = split_body(body_of(result.id))[1]
        put(result.id, envelope[:-3] + bytes([envelope[-3] ^ 1]) + envelope[-2:])
        reason = dead(app, worker).reason
        assert reason.startswith("refused: wrong ")
        assert "find out who may write there, and enqueue it again" in reason

    def test_truncated(self, app: StreamTasks, worker: InProcessWorker) -> None:
        result = app.tasks["echo"].enqueue(1)
        put(result.id, split_body(body_of(result.id))[1][:9])
        assert dead(app, worker).reason.startswith("refused: truncated; it was changed or moved on the server")

    def test_an_unknown_key_waits_first(self, app: StreamTasks, worker: InProcessWorker, way: dict[str, Any]) -> None:
        option = "encryption" if "encryption_keys" in way else "signing"
        other = app_of(**{**way, f"{option}_keys": ("yet another secret, long enough to be one",)})
        other.tasks["echo"].enqueue(1)
        reason = dead(app, worker).reason
        assert reason.startswith(f"undecodable: unknown {option} key ")
        assert reason.endswith(f"; add it to {option}_keys")

    def test_the_body_of_another_task(self, app: StreamTasks, worker: InProcessWorker) -> None:
        cheap, dear = app.tasks["echo"].enqueue(1), app.tasks["echo"].enqueue(1000)
        put(cheap.id, split_body(body_of(dear.id))[1])
        letter = dead(app, worker)
        assert letter.id == cheap.id
        assert letter.reason.startswith("refused: wrong ")
        assert dear.get(0) == [1000]

    def test_in_another_queue(self, app: StreamTasks, worker: InProcessWorker) -> None:
        result = app.tasks["echo"].enqueue(1)
        shard = server_shard()
        message = shard.live[result.id]
        shard.streams.pop(message.name, None)
        message.name = "0:other"
        shard.append(message)
        letter = dead(app, worker)
        assert letter.reason.startswith("refused: moved to another queue: find out who may write to the server")

    def test_as_a_callback(self, app: StreamTasks, worker: InProcessWorker) -> None:
        forged = app_of().enqueue([Message(id="forged", task="echo", args=[1])])[0]
        shard = server_shard()
        message = shard.live.pop(forged.id)
        callback = "cb." + "0" * 40
        message.id, message.body = callback, message.body.replace(b'"forged"', f'"{callback}"'.encode())
        shard.live[callback] = message
        shard.streams.pop(message.name)
        shard.append(message)
        neighbour = app.tasks["echo"].enqueue("neighbour")
        worker.run_until_idle()
        assert neighbour.get(0) == ["neighbour"]
        [letter] = app.dead_letters()
        assert (letter.id, letter.reason[:18]) == (callback, "refused: unsigned;")

    def test_the_dead_letter_of_a_good_message_can_be_sent_again(
        self, app: StreamTasks, worker: InProcessWorker, way: dict[str, Any]
    ) -> None:
        app_of(**way).task(name="later")(lambda: 7).enqueue()
        letter = dead(app, worker)
        assert letter.reason == "unknown task"
        app.task(name="later")(lambda: 7)
        [again] = app.enqueue([replace(letter.message(), id="again-1")])
        worker.run_until_idle()
        assert again.get(0) == 7


class TestResultsThatLie:
    def record(self, task_id: str) -> Any:
        return server_shard().record(task_id)

    def test_of_another_task_or_unsigned_or_changed(self, app: StreamTasks, worker: InProcessWorker) -> None:
        results = [app.tasks["echo"].enqueue(number) for number in range(3)]
        worker.run_until_idle()
        good = self.record(results[1].id).result
        forged = b'{"r":[1000]}'
        for lie, told in ((good, "wrong "), (forged, "is not signed"), (good[:-1] + b"?", "wrong "), (b"", "result")):
            self.record(results[0].id).result = lie
            with pytest.raises(NotAuthentic, match=told):
                app.get_result(results[0].id).get(0)
        assert results[1].get(0) == [1]

    def test_a_failure_as_a_success_and_back(self, app: StreamTasks, worker: InProcessWorker) -> None:
        good, bad = app.tasks["echo"].enqueue(1), app.tasks["fail"].enqueue("x")
        worker.run_until_idle()
        self.record(bad.id).state = "SUCCESS"
        self.record(good.id).state = "FAILURE"
        for lie in (good, bad):
            with pytest.raises(NotAuthentic, match="state was changed on the server"):
                lie.get(0)

    def test_members_of_a_group(self, app: StreamTasks, worker: InProcessWorker) -> None:
        echo, ran = app.tasks["echo"], []

        @app.task(name="body")
        def body(values: list[Any]) -> list[Any]:
            ran.append(values)
            return values

        fan = chord([echo.s(1), echo.s(2), echo.s(3).set(countdown=5)], body.s()).apply_async()
        worker.run_ready()
        [(workflow_id, state)] = server_shard().workflows.items()
        state.fields["r0.0"], state.fields["r0.1"] = state.fields["r0.1"], state.fields["r0.0"]
        worker.run_until_idle()
        assert ran == []
        with pytest.raises(NotAuthentic, match="a member is missing, or was moved to another place"):
            fan.get(0)
        assert workflow_id in fan.id

    def test_the_result_that_a_chain_passes_on(self, app: StreamTasks, worker: InProcessWorker) -> None:
        echo = app.tasks["echo"]
        line = chain(echo.s(1), echo.s(2).set(countdown=5)).apply_async()
        worker.run_ready()
        [state] = server_shard().workflows.values()
        state.fields["v0"] = (b"", b'{"r":"forged"}')
        worker.run_until_idle()
        with pytest.raises(NotAuthentic, match="is not signed"):
            line.get(0)


class TestMigration:
    """Unsigned, then signed, then required, with messages under way at each step; and the same for encryption."""

    def test_to_signatures(self) -> None:
        plain, signing = app_of(), app_of(signing_keys=(KEY,))
        strict = app_of(signing_keys=(KEY,), require_signed=True)
        first = [one.tasks["echo"].enqueue(number) for number, one in enumerate((plain, signing, plain))]
        InProcessWorker(plain).run_ready(most=1)
        InProcessWorker(signing).run_until_idle()
        for reader in (plain, signing):
            assert [reader.get_result(one.id).get(0) for one in first] == [[0], [1], [2]]
        second = [one.tasks["echo"].enqueue(number) for number, one in enumerate((signing, strict, strict))]
        InProcessWorker(plain).run_ready(most=1)  # a process that has no key yet reads what is signed
        InProcessWorker(strict).run_until_idle()
        assert [signing.get_result(one.id).get(0) for one in second] == [[0], [1], [2]]
        with pytest.raises(NotAuthentic):  # written before its writer signed
            strict.get_result(second[0].id).get(0)
        assert [strict.get_result(one.id).get(0) for one in second[1:]] == [[1], [2]]
        assert plain.dead_letters() == []

    def test_to_encryption(self) -> None:
        plain = app_of(unknown_task_limit=10)
        ready, encrypting = app_of(encryption_keys=(KEY,), encrypt=False), app_of(encryption_keys=(KEY,))
        strict = app_of(encryption_keys=(KEY,), require_signed=True)
        sent = [one.tasks["echo"].enqueue(number) for number, one in enumerate((plain, ready, encrypting, strict))]
        ran = InProcessWorker(plain).run_ready(most=3)
        assert [one.state for one in ran] == ["SUCCESS", "SUCCESS", "RETRY"]  # without the key it waits for another
        InProcessWorker(ready).run_until_idle()
        assert [ready.get_result(one.id).get(0) for one in sent] == [[0], [1], [2], [3]]
        assert plain.dead_letters() == []
        late = encrypting.tasks["echo"].enqueue(MARKER)
        InProcessWorker(encrypting).run_until_idle()
        with pytest.raises(UnknownKey):
            plain.get_result(late.id).get(0)

    @pytest.mark.parametrize("option", ["signing_keys", "encryption_keys"])
    def test_keys_are_changed_by_putting_the_new_one_last_then_first(self, option: str) -> None:
        def keyed(*keys: str) -> StreamTasks:
            return app_of(**{option: keys, "require_signed": True})

        steps = [keyed(KEY), keyed(KEY, OTHER), keyed(OTHER, KEY), keyed(OTHER)]
        before: list[Any] = []
        for now, after in pairwise(steps):
            sent = [one.tasks["echo"].enqueue(1) for one in (now, after)]
            InProcessWorker(now).run_ready(most=1)
            InProcessWorker(after).run_until_idle()
            assert [one.get_result(result.id).get(0) for one in (now, after) for result in sent] == [[1]] * 4
            before += sent
        with pytest.raises(UnknownKey):
            steps[3].get_result(before[0].id).get(0)
        assert steps[1].dead_letters() == []
