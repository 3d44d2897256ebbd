"""The `Store` protocol, and its implementations on Redis and in memory."""
