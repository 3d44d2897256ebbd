"""Workers: everything of streamtasks that loops. Start one with ``streamtasks-worker``."""
