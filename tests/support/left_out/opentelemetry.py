"""Stands where OpenTelemetry would be found: as if it were not installed. See `tests.support.child_path`."""

raise ImportError("OpenTelemetry is left out of the processes that tests start")
