"""What lies in a store is refused: messages and results that are unsigned, changed, or moved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from streamtasks import Message, StreamTasks, chain, chord
from streamtasks.exceptions import NotAuthentic
from streamtasks.protocol.message import split_body
from streamtasks.protocol.state import DeadLetter, State
from streamtasks_workers.testing.in_process import InProcessWorker
from tests.support.sealed_app import app_of, server_shard


def body_of(task_id: str) -> bytes:
    body: bytes = server_shard().live[task_id].body
    return body


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
