"""``python -m streamtasks_workers`` is ``streamtasks-worker``."""

from .cli.worker import main

main()
