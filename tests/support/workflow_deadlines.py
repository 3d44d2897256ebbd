"""End the deadlines of a workflow without waiting for them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import redis

    from streamtasks.protocol.keys import Keys


def end_on_server(client: redis.Redis, keys: Keys, workflow_id: str) -> None:
    """Set them into the past in the state that a server keeps."""
    key = keys.workflow(workflow_id)
    late: Any = client.hget(key, "late")
    if late:
        client.hset(key, "late", re.sub(r" \d+", " 1", late.decode()))
        client.zadd(keys.unfolding, {workflow_id: 1}, xx=True)


def end_in_memory(shard: Any, workflow_id: str) -> None:
    """Set them into the past in the state of the store in memory."""
    state = shard.workflows.get(workflow_id)
    if state is not None:
        state.late.update(dict.fromkeys(state.late, 1))
