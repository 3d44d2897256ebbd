"""Report the progress of a task over a WebSocket, with Django Channels (``pip install streamtasks[channels]``).

::

    websocket_urlpatterns = [path("ws/tasks/<str:task_id>/", TaskProgressConsumer.as_asgi())]
    application = ProtocolTypeRouter({
        "http": get_asgi_application(),
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
    })

A client receives JSON texts:

* ``{"type": "task_status", "data": ...}`` at once and at the end, with the data of `TaskResultManager.get_task_info`,
* ``{"type": "progress_update", "data": {"task_id", "status", "state", "progress", "timestamp"}}`` at every change.

The function that ``STREAMTASKS["MAY_VIEW_TASK"]`` names, plain or a coroutine function, decides who may see a task:
``may_view(user, task_id) -> bool``. Without it, every user who is logged in may. Others are rejected before the
connection is accepted.

No channel layer is needed for this. Where there is one, the consumer also joins the group ``task_<id>`` and forwards
messages that a project sends to it: ``{"type": "task_progress_update", "data": ...}``.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from inspect import iscoroutinefunction
from typing import Any, override

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.utils import timezone

from streamtasks import StoreError

from .conf import project
from .framework import DEFAULT_TASK_BACKEND_ALIAS
from .manager import TaskResultManager
from .results.task_result import StreamTaskResult

__all__ = ["FORBIDDEN", "TaskProgressConsumer", "may_view_task"]

logger = logging.getLogger("streamtasks.django")

FORBIDDEN = 4403
"""The close code for a user who may not see the task (servers answer the handshake with HTTP 403)."""

_RETRY_S = 1.0
"""Delay before a store that gave no answer is read again, seconds."""


async def may_view_task(user: Any, task_id: str) -> bool:
    """Return whether a user (None without authentication) may see a task; see ``STREAMTASKS["MAY_VIEW_TASK"]``."""
    decide = project.may_view_task()
    if decide is None:
        return bool(getattr(user, "is_authenticated", False))
    if iscoroutinefunction(decide):
        return bool(await decide(user, task_id))
    return bool(await database_sync_to_async(decide)(user, task_id))


class TaskProgressConsumer(AsyncWebsocketConsumer):
    """Report the progress of a task to a client. Its route has a ``task_id``; a subclass may name another backend."""

    backend_name = DEFAULT_TASK_BACKEND_ALIAS

    task_id: str
    group_name: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._watching: asyncio.Task[None] | None = None
        self._in_group = False

    @override
    async def connect(self) -> None:
        """Accept a user who may see the task, and start reporting."""
        scope: dict[str, Any] = dict(self.scope)
        self.task_id = scope["url_route"]["kwargs"]["task_id"]
        self.group_name = f"task_{self.task_id}"
        if not await may_view_task(scope.get("user"), self.task_id):
            await self.close(FORBIDDEN)
            return
        layer: Any = self.channel_layer  # None if a project has not configured one
        if layer is not None:
            await layer.group_add(self.group_name, self.channel_name)
            self._in_group = True
        await self.accept()
        await self.send_task_status()
        self._watching = asyncio.create_task(self._watch())

    @override
    async def disconnect(self, code: int) -> None:
        """Stop reporting."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        if self._in_group:
            await self.channel_layer.group_discard(self.group_name, self.channel_name)

    async def send_task_status(self) -> None:
        """Send the present state of the task."""
        info = await TaskResultManager(self.backend_name).aget_task_info(self.task_id)
        await self.send(text_data=json.dumps({"type": "task_status", "data": info}))

    async def task_progress_update(self, event: dict[str, Any]) -> None:
        """Forward a message that was sent to the group."""
        await self.send(text_data=json.dumps({"type": "progress_update", "data": event["data"]}))

    async def _watch(self) -> None:
        backend = TaskResultManager(self.backend_name).backend
        while True:
            try:
                async with aclosing(backend.awatch(self.task_id)) as results:
                    await self._report(results)
            except StoreError as error:
                logger.warning("Task %s cannot be watched; retrying: %s", self.task_id, error)
                await asyncio.sleep(_RETRY_S)
            else:
                return

    async def _report(self, results: AsyncGenerator[StreamTaskResult[Any]]) -> None:
        """Report every change until the task is finished or its record has expired."""
        reported: Any = None
        async for result in results:
            if result.is_finished:
                await self.send_task_status()
                return
            now = _progress(result)
            if now != reported:
                reported = now
                await self.task_progress_update({"data": {**now, "timestamp": timezone.now().isoformat()}})


def _progress(result: StreamTaskResult[Any]) -> dict[str, Any]:
    """Return the progress in a result that was just read; nothing is read here."""
    return {
        "task_id": result.id,
        "status": str(result.status),
        "state": result.known_state,
        "progress": result.known_info,
    }
