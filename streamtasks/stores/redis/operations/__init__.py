"""Operations of the store on Redis, by subject: each with the calls that it sends."""

from . import (
    admit,
    delete_finished,
    durable,
    early_expiry,
    enqueue,
    hand_back,
    inspection,
    leases,
    promote,
    queues,
    read,
    revoke,
    schedules,
    settle,
    workflows,
)

__all__ = [
    "admit",
    "delete_finished",
    "durable",
    "early_expiry",
    "enqueue",
    "hand_back",
    "inspection",
    "leases",
    "promote",
    "queues",
    "read",
    "revoke",
    "schedules",
    "settle",
    "workflows",
]
