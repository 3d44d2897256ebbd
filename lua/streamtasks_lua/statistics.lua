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
-- Moves:  nothing
-- Safe to repeat: yes. Clock: none.
local messages, running, delayed, totals = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
return {
  redis.call('HLEN', messages), redis.call('ZCARD', running), redis.call('ZCARD', delayed),
  redis.call('HMGET', totals, unpack(ARGV)),
}
