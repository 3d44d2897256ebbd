"""Measure what a server and a worker do, beside the tasks that are there."""
