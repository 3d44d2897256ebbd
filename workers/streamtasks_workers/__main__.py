"""``python -m streamtasks_workers`` is ``streamtasks-worker``."""

from .cli.main import worker_main

worker_main()
