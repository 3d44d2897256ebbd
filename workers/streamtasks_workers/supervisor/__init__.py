"""The processes of a worker: the supervisor, and the keeper that it forks."""
