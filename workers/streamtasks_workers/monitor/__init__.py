"""What a worker shows of itself over HTTP: metrics and health. Served by a thread of the keeper, without user code."""
