"""System checks. Those with ``--deploy`` and ``--database`` use the network; the others run with every command.

================  ====================================================================================
streamtasks.E001  an option in OPTIONS has a wrong value, or two options contradict each other
streamtasks.E002  QUEUES contains an invalid queue name
streamtasks.E003  two aliases use the same keys of the same server
streamtasks.E004  a worker option (``worker``, ``TASK_WORKERS``, ``STREAMTASKS["WORKER"]``) is wrong
streamtasks.E005  ``STREAMTASKS["MIDDLEWARE"]`` names something that is not middleware
streamtasks.E006  ``STREAMTASKS`` or ``TASK_IMPORTS`` has a wrong type
streamtasks.E007  (``--deploy``) the server is missing or too old, may evict tasks, or refuses the password
streamtasks.E008  ``STREAMTASKS["MAY_VIEW_TASK"]`` names something that is not a function
streamtasks.E009  a setting ``TASK_...`` has a wrong value
streamtasks.E010  ``TASK_ROUTES`` is wrong, or routes to a queue that its backend does not have
streamtasks.E011  ``TASK_SCHEDULE``, one of its entries, or the ``schedule`` of a task is wrong
streamtasks.E012  two schedules of one backend have the same name
streamtasks.E013  an option stands beside OPTIONS instead of in it
streamtasks.E014  ``result_model`` or ``extra_fields`` in OPTIONS is wrong
streamtasks.E015  a DatabaseBackend uses a table that a model of the project has
streamtasks.E016  a DatabaseBackend is in a database whose transactions are REPEATABLE READ or SERIALIZABLE
streamtasks.W001  OPTIONS has an unknown key
streamtasks.W002  ``STREAMTASKS`` has an unknown key
streamtasks.W003  (``--deploy``) the server cannot be reached from here
streamtasks.W004  a setting ``TASK_...`` is unknown
streamtasks.W005  ``TASK_WORKERS`` names an alias that TASKS does not have
streamtasks.W007  ``TASK_WORKERS`` and ``worker`` in OPTIONS contradict each other
streamtasks.W008  an alias of TASKS has an unknown key
streamtasks.W009  (``--deploy``) the server is a replica, has no persistence, or does not let itself be checked
streamtasks.W010  (``--database``) tables of a DatabaseBackend, an outbox or results are missing or another
                  program's, or the database's transactions do not fit
================  ====================================================================================
"""

from __future__ import annotations

from django.core.checks import CheckMessage, Tags, register

from ..enqueue.store_alias import StoreAlias
from .aliases import check_alias, check_same_keys, store_aliases
from .project import check_project
from .schedules import check_schedules
from .servers import check_servers
from .tables import check_tables
from .task_settings import check_task_settings

__all__ = ["check_backend", "check_servers", "check_tables"]

register("streamtasks", deploy=True)(check_servers)
register(Tags.database)(check_tables)


def check_backend(backend: StoreAlias) -> list[CheckMessage]:
    """Check one alias of TASKS and, with the first alias, everything that concerns the whole project.

    Django calls this for each backend.
    """
    messages = check_alias(backend)
    aliases = store_aliases()
    if not aliases or aliases[0].alias == backend.alias:
        messages += [
            *check_project(),
            *check_task_settings(aliases),
            *check_schedules(aliases),
            *check_same_keys(aliases),
        ]
    return messages
