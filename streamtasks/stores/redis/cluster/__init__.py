"""A Redis Cluster: which master has which shard, and exchanges with several masters at once."""
