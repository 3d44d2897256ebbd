"""``python -m streamtasks_workers`` is ``streamtasks-worker``."""

from .cli import worker_main

worker_main()
