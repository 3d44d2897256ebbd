#!lua flags=no-writes
-- statistics: counts of a shard, each in constant time.
--
-- KEYS[1] messages     HASH     keys.messages
-- KEYS[2] running      ZSET     keys.running
-- KEYS[3] delayed      ZSET     keys.delayed
-- KEYS[4] totals       HASH     keys.totals
-- ARGV[1..] fields of keys.totals that are wanted
--
-- Returns {unfinished, running, delayed, count or nil...}: one count per field, in their order.
-- Budget: one count for each field; each takes the same time however many messages there are.
-- Moves:  nothing
-- Role:   monitor
-- Safe to repeat: yes. Clock: none.
return {
  redis.call('HLEN', keys.messages), redis.call('ZCARD', keys.running), redis.call('ZCARD', keys.delayed),
  redis.call('HMGET', keys.totals, unpack(ARGV)),
}
