"""The dashboard: see and steer tasks, queues and workers in a browser."""
