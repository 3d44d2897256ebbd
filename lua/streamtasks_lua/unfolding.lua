#!lua flags=no-writes
-- unfolding: workflows that have something left to do.
--
-- KEYS[1] unfolding    ZSET     keys.unfolding
-- ARGV[1] most of them
--
-- Returns {now ms, ms until the next one is due (-1: there is none), id...}: those that are due now.
-- Moves:  nothing
-- Safe to repeat: yes. Clock: server.
-- include: clock
local unfolding, most = KEYS[1], tonumber(ARGV[1])
local now = now_ms()
local reply = { now, -1, unpack(redis.call('ZRANGEBYSCORE', unfolding, '-inf', int(now), 'LIMIT', 0, most)) }
local later = redis.call('ZRANGEBYSCORE', unfolding, '(' .. int(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
if later[2] then reply[2] = tonumber(later[2]) - now end
return reply
