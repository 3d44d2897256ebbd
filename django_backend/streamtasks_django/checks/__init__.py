"""System checks: of a backend and its options, of the settings ``TASK_...``, of declared schedules."""
