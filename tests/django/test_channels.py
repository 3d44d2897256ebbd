"""`TaskProgressConsumer`: who may look, and what they are told, on a server without a worker."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
import redis
from channels.layers import get_channel_layer
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.core.checks import run_checks
from django.tasks import task_backends
from django.test import override_settings
from django.urls import path

from contract.app import tasks
from contract.options import tasks_setting
from streamtasks.protocol.json import dumps
from streamtasks_django.backends.redis import RedisBackend
from streamtasks_django.channels import TaskProgressConsumer
from tests.support.manual_consumer import Consumer, outcome_of, report_progress
from tests.support.servers import flush
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("site")

LOGGED_IN = SimpleNamespace(is_authenticated=True, name="anna")
LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


def backend() -> RedisBackend:
    return cast("RedisBackend", task_backends["default"])


@pytest.fixture(autouse=True)
def _empty(site: str) -> None:
    flush(site)


@asynccontextmanager
async def connected(task_id: str, user: Any = LOGGED_IN) -> AsyncGenerator[WebsocketCommunicator]:
    communicator = talker(task_id, user)
    accepted, _ = await communicator.connect(timeout=60)
    assert accepted
    yield communicator
    await communicator.disconnect(timeout=60)


def talker(task_id: str, user: Any) -> WebsocketCommunicator:
    application = URLRouter([path("ws/tasks/<str:task_id>/", cast("Any", TaskProgressConsumer.as_asgi()))])
    communicator = WebsocketCommunicator(application, f"/ws/tasks/{task_id}/")
    cast("Any", communicator.scope)["user"] = user
    return communicator


async def told(communicator: WebsocketCommunicator) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(await communicator.receive_from(timeout=60))
    return said


async def until(communicator: WebsocketCommunicator, key: str, value: Any) -> dict[str, Any]:
    """Take what is told until the data has this value."""
    async with asyncio.timeout(10):
        while (said := await told(communicator))["data"].get(key) != value:
            pass
    return said


async def test_from_the_start_to_the_end(hand: Consumer) -> None:
    task_id = (await tasks.echo.aenqueue()).id
    async with connected(task_id) as communicator:
        first = await told(communicator)
        assert first["type"] == "task_status"
        assert (first["data"]["task_id"], first["data"]["status"], first["data"]["ready"]) == (task_id, "READY", False)
        [claimed] = await asyncio.to_thread(hand.claim, 1)
        said = {"current": 1, "total": 2, "status": "half"}
        await asyncio.to_thread(
            report_progress, backend().stores.asynchronous, claimed, dumps({"s": "CLEANING", "m": said})
        )
        progress = await until(communicator, "state", "CLEANING")
        assert progress["type"] == "progress_update"
        assert set(progress["data"]) == {"task_id", "status", "state", "progress", "timestamp"}
        assert (progress["data"]["status"], progress["data"]["progress"]) == ("RUNNING", said)
        await asyncio.to_thread(hand.settle, outcome_of(claimed, "SUCCESS", b'{"r":[1]}'))
        last = await until(communicator, "ready", True)
        assert last["type"] == "task_status"
        assert (last["data"]["status"], last["data"]["result"]) == ("SUCCESSFUL", [1])
        assert await communicator.receive_nothing(0.1)


async def test_who_has_left_is_not_watched_for_any_more(embedded_url: str) -> None:
    client = redis.Redis.from_url(embedded_url)
    with override_settings(TASKS=tasks_setting(embedded_url, "idle:")):
        task_id = (await tasks.echo.aenqueue()).id
        async with connected(task_id) as communicator:
            await told(communicator)
            await asyncio.to_thread(wait_until, client.pubsub_shardchannels, "it listens for pushes")
        await asyncio.to_thread(wait_until, lambda: not client.pubsub_shardchannels(), "it listens no more")
    client.close()


async def test_one_that_has_failed_already(hand: Consumer) -> None:
    task_id = (await tasks.echo.aenqueue()).id
    await asyncio.to_thread(hand.fail, ValueError("bad"))
    async with connected(task_id) as communicator:
        first = await told(communicator)
        assert (first["data"]["failed"], first["data"]["error"]) == (True, "bad")


async def test_one_that_is_not_known() -> None:
    async with connected("nobody") as communicator:
        assert await told(communicator) == {
            "type": "task_status",
            "data": {"task_id": "nobody", "error": "Failed to get task info: nobody"},
        }
        assert await communicator.receive_nothing(0.1)


async def test_what_a_project_sends_to_the_group_is_passed_on() -> None:
    task_id = (await tasks.echo.aenqueue()).id
    with override_settings(CHANNEL_LAYERS=LAYERS):
        async with connected(task_id) as communicator:
            await told(communicator)
            layer = get_channel_layer()
            assert layer is not None
            await layer.group_send(f"task_{task_id}", {"type": "task_progress_update", "data": {"own": 1}})
            assert (await until(communicator, "own", 1))["type"] == "progress_update"
        assert cast("Any", layer).groups == {}


@pytest.mark.parametrize("user", [None, SimpleNamespace(is_authenticated=False)])
async def test_only_those_who_are_logged_in(user: Any) -> None:
    task_id = (await tasks.echo.aenqueue()).id
    communicator = talker(task_id, user)
    assert await communicator.connect(timeout=60) == (False, 4403)


def anna_only(user: Any, task_id: str) -> bool:
    assert threading.current_thread() is not threading.main_thread()  # it may use the database
    return getattr(user, "name", "") == "anna" and bool(task_id)


async def anna_only_async(user: Any, task_id: str) -> bool:
    await asyncio.sleep(0)
    return getattr(user, "name", "") == "anna" and bool(task_id)


@pytest.mark.parametrize("function", ["anna_only", "anna_only_async"])
async def test_a_project_says_who_may_look(function: str) -> None:
    task_id = (await tasks.echo.aenqueue()).id
    with override_settings(STREAMTASKS={"MAY_VIEW_TASK": f"{__name__}.{function}"}):
        async with connected(task_id):
            pass
        other = talker(task_id, SimpleNamespace(is_authenticated=True, name="bert"))
        assert await other.connect(timeout=60) == (False, 4403)


@pytest.mark.parametrize("value", ["no.such.function", "contract.options.URL", 3])
def test_a_wrong_function_is_told_by_the_checks(value: Any) -> None:
    with override_settings(STREAMTASKS={"MAY_VIEW_TASK": value}):
        found = [message for message in run_checks() if message.id == "streamtasks.E008"]
    assert len(found) == 1
    assert repr(value) in str(found[0].msg)
