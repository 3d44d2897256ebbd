"""The systems that are compared: what each needs, how much work it gets, and what was set for it and why."""

from __future__ import annotations

from typing import NamedTuple


class Setting(NamedTuple):
    """Something that was set for a system, and the page of its documentation that says so."""

    what: str
    why: str
    page: str = ""


class Listed(NamedTuple):
    """A system of the comparison.

    Args:
        name: as it is shown, and named by ``--only``.
        module: its file in ``peers``.
        requires: what its environment is made of; nothing: it runs in the project's own.
        per_s: about how many tasks a second one process of it runs, by which the work is measured out.
        settings: what was set for it.
        durability: what happens to a task whose worker is killed.
        environment: variables of its processes.
    """

    name: str
    module: str
    requires: tuple[str, ...]
    per_s: int
    settings: tuple[Setting, ...]
    durability: str
    environment: dict[str, str] = {}  # noqa: RUF012 - never changed


_EXPIRY = Setting("results are kept for a day", "the same for all")
_HIREDIS = Setting("hiredis", "the quicker parser of redis-py", "README of redis-py")
_DJANGO = "production: DEBUG off, Django's own LOGGING"
_AGAIN = "runs again, after"

SYSTEMS = {
    listed.name: listed
    for listed in (
        Listed(
            "floor",
            "floor_peer",
            (),
            40_000,
            (Setting("100 entries a round trip", "more is not quicker here"), _EXPIRY),
            "lost until someone claims the entries of the dead consumer: nobody does",
        ),
        Listed(
            "streamtasks",
            "streamtasks_peer",
            (),
            30_000,
            (Setting("nothing but the number of children and the level of the log", "prefetch adapts itself"), _EXPIRY),
            f"{_AGAIN} milliseconds (a child), or the lease (a whole worker)",
        ),
        Listed(
            "streamtasks-django",
            "streamtasks_django_peer",
            (),
            15_000,
            (Setting(_DJANGO, "the logger django.tasks is at INFO, which Django's receivers write to"), _EXPIRY),
            "as streamtasks",
        ),
        Listed(
            "streamtasks-django-warning",
            "streamtasks_django_peer",
            (),
            18_000,
            (Setting("the same, with the logger django.tasks at WARNING", "Django then makes no records"), _EXPIRY),
            "as streamtasks",
            {"COMPARE_DJANGO_LOG": "WARNING"},
        ),
        Listed(
            "celery",
            "celery_peer",
            ("celery[redis]>=5.7,<5.8", "hiredis>=3,<4"),
            900,
            (
                Setting("prefork, a child for each process", "the default, one a core", "User Guide: Workers"),
                Setting(
                    "worker_prefetch_multiplier=64",
                    "for many short tasks it should be large",
                    "User Guide: Optimizing, Prefetch Limits",
                ),
                Setting(
                    "task_acks_late, task_reject_on_worker_lost",
                    "at-least-once delivery",
                    "User Guide: Tasks; Configuration and defaults",
                ),
                Setting("result_expires, results in Redis", "the same for all", "Configuration and defaults"),
                Setting("no gossip, no mingle", "there is one worker; it starts quicker", "Command line reference"),
                Setting("many in one call: group(...).apply_async()", "its call for many", "User Guide: Canvas"),
                _HIREDIS,
            ),
            f"{_AGAIN} the visibility timeout (an hour by default)",
        ),
        Listed(
            "rq",
            "rq_peer",
            ("rq>=3.0,<3.1", "hiredis>=3,<4"),
            350,
            (
                Setting("worker-pool with a worker for each process", "its way to use several cores", "Docs: Workers"),
                Setting(
                    "SimpleWorker",
                    "a fork for each task costs milliseconds; recommended for tasks of single milliseconds only",
                    "docs/benchmark.md in its repository",
                ),
                Setting("result_ttl of a day", "the same for all", "Docs: Results"),
                Setting("many in one call: Queue.enqueue_many()", "its call for many", "Docs: Bulk Job Enqueueing"),
                _HIREDIS,
            ),
            "becomes a failed job; it runs again only if retries are set",
        ),
        Listed(
            "dramatiq",
            "dramatiq_peer",
            ("dramatiq[redis]>=2.2,<2.3", "hiredis>=3,<4"),
            1_800,
            (
                Setting("a process a core, 8 threads each", "its defaults", "dramatiq --help"),
                Setting("nothing for durability", "acknowledged after the run", "Advanced Topics: Message Persistence"),
                Setting(
                    "Results with RedisBackend, result_ttl", "the same for all", "Advanced Topics: Message Results"
                ),
                Setting("many in one call: group(...).run()", "its call for many", "Cookbook: Composition"),
                _HIREDIS,
            ),
            f"{_AGAIN} the heartbeat timeout (60 s by default) and a maintenance run",
        ),
        Listed(
            "huey",
            "huey_peer",
            ("huey>=3.5,<3.6", "redis>=5,<9", "hiredis>=3,<4"),
            2_200,
            (
                Setting(
                    "a consumer for each process, 4 threads each",
                    "quicker here than -k process; threads are recommended when in doubt",
                    "Consuming Tasks: Options; huey_consumer --help",
                ),
                Setting("RedisExpireHuey", "results that expire, as all others have", "API reference"),
                Setting(
                    "no periodic tasks", "nobody else runs a scheduler in this measurement", "Consuming Tasks: Options"
                ),
                Setting("results are polled each 0.5 ms", "quicker than its own wait, which begins at 100 ms"),
                _HIREDIS,
            ),
            "lost",
        ),
        Listed(
            "taskiq-redis",
            "taskiq_peer",
            ("taskiq[uv]>=0.13,<0.14", "taskiq-redis>=1.2,<1.3", "hiredis>=3,<4"),
            2_200,
            (
                Setting("RedisStreamBroker", "the one with acknowledgements", "taskiq-redis README: Stream"),
                Setting("--ack-type when_saved", "at-least-once delivery, its default", "Guide: CLI"),
                Setting("coroutine tasks, a process a core, uvloop", "its native way; the extra uv of the package"),
                Setting(
                    "--max-prefetch 100", "useful for high message rates; as many as it reads at once", "Guide: CLI"
                ),
                Setting("result_ex_time", "highly recommended", "taskiq-redis README: RedisAsyncResultBackend"),
                Setting("results are polled each 0.5 ms", "quicker than its own 200 ms"),
                _HIREDIS,
            ),
            f"{_AGAIN} idle_timeout (10 min by default), once further tasks arrive; its stream is never trimmed",
        ),
        Listed(
            "streaq",
            "streaq_peer",
            ("streaq>=7.2,<7.3",),
            1_400,
            (
                Setting("coroutine tasks, a process a core", "its native way", "Getting started; CLI"),
                Setting(
                    "concurrency of 64",
                    "more than the default 16; it prefetches as many",
                    "Workers: Other configuration options",
                ),
                Setting("ttl of a day", "the same for all", "Tasks"),
                Setting("many in one call: Worker.enqueue_many() by 1,000", "its pipelining", "Tasks"),
            ),
            f"{_AGAIN} idle_timeout (60 s by default)",
        ),
        Listed(
            "django-tasks-redis",
            "django_tasks_redis_peer",
            ("django-tasks-redis>=0.4,<0.5", "django>=6.0,<6.2", "hiredis>=3,<4"),
            600,
            (
                Setting("a worker for each process, --continuous", "its way to use several cores", "README"),
                Setting("REDIS_RESULT_TTL of a day", "the same for all", "README: Configuration Options"),
                Setting("results are polled each 1 ms", "it has no call that waits"),
                Setting(_DJANGO, "the same for all backends of Django"),
                _HIREDIS,
            ),
            f"{_AGAIN} REDIS_CLAIM_TIMEOUT (5 min by default)",
        ),
    )
}
