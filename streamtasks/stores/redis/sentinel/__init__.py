"""Find the master of a service by asking its Sentinels, at each connect; watch for its change."""
