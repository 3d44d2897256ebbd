"""What a keeper does in the background: one file for each role, and the list of them.

To add a role, write its file and name its class in `ROLES`.
"""

from __future__ import annotations

from typing import Final

from .base import Role, ServedApp
from .bulk_operations import BulkOperations
from .companion import Companion
from .dead_letters import DeadLetters
from .expirer import Expirer
from .fence import Fence
from .heartbeat import Heartbeat
from .janitor import Janitor
from .leases import Leases
from .limiter import Limiter
from .log_shipper import LogShipper
from .outbox import Outbox
from .promoter import Promoter
from .ready_watch import ReadyWatch
from .reclaimer import Reclaimer
from .reconciler import Reconciler
from .revocations import Revocations
from .scheduler import Scheduler
from .series_recorder import SeriesRecorder
from .shard_list import ShardList
from .stacks import Stacks
from .workflow_expander import WorkflowExpander

__all__ = ["ROLES", "roles_of"]

ROLES: Final[tuple[type[Role], ...]] = (
    Leases,
    Fence,
    ReadyWatch,
    ShardList,
    Heartbeat,
    Reclaimer,
    Reconciler,
    Revocations,
    Scheduler,
    Promoter,
    WorkflowExpander,
    Limiter,
    Janitor,
    Expirer,
    DeadLetters,
    LogShipper,
    SeriesRecorder,
    Stacks,
    BulkOperations,
    Outbox,
    Companion,
)


def roles_of(app: ServedApp) -> list[Role]:
    """Return an app's roles, of each kind one for each shard, or one."""
    needed = [role for role in ROLES if role.serves(app)]
    return [role(app, tag) for role in needed for tag in (app.tags if role.per_shard else ("",))]
