"""The comparison of task systems: one run, one server, each system in an environment of its own."""
