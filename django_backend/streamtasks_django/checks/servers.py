"""Check the servers of all aliases; ``manage.py check --deploy``."""

from __future__ import annotations

from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, Error
from redis.exceptions import RedisError

from streamtasks import ConfigurationError, StoreError, StoreSettings
from streamtasks.stores.factory import open_store
from streamtasks.stores.redis import connections

from .aliases import readable_settings, store_aliases

__all__ = ["check_servers"]


def check_servers(**_: Any) -> list[CheckMessage]:
    """Check the version and the configuration of each server, and of replicas that may become masters."""
    messages: list[CheckMessage] = []
    for backend in store_aliases():
        settings = readable_settings(backend)
        if settings is None:
            continue
        try:
            unreachable = _unreachable(settings) if settings.is_redis else None
            if unreachable is None:
                messages += [
                    checks.Warning(f"TASKS[{backend.alias!r}]: {warning}.", id="streamtasks.W009")
                    for warning in open_store(settings).check(before_deploy=True)
                ]
            else:
                messages.append(checks.Warning(f"TASKS[{backend.alias!r}]: {unreachable}", id="streamtasks.W003"))
        except (ConfigurationError, StoreError) as error:
            messages.append(Error(f"TASKS[{backend.alias!r}]: {error}", id="streamtasks.E007"))
    return messages


def _unreachable(settings: StoreSettings) -> str | None:
    """Return why the server cannot be reached, None if it can.

    Raises:
        AccessDenied: the user or the password is wrong.
    """
    connection = connections.new_connection(settings)
    try:
        connection.connect()
    except (RedisError, OSError) as error:
        lasting = connections.lasting_error(error, settings)
        if lasting is not None:
            raise lasting from error
        return f"{connections.address(settings)} cannot be reached from here: {error}"
    finally:
        connection.disconnect()
    return None
