#!lua flags=no-writes
-- unfolding: workflows that have something left to do.
--
-- KEYS[1] unfolding    ZSET     keys.unfolding
-- ARGV[1] most: workflows
--
-- Returns {now ms, ms until the next one is due (-1: there is none), id...}: those that are due now.
-- Budget: 20 workflows.
-- Moves:  nothing
-- Role:   worker
-- Safe to repeat: yes. Clock: server.
-- include: clock
local reply = { now, -1, unpack(redis.call('ZRANGEBYSCORE', keys.unfolding, '-inf', int(now), 'LIMIT', 0, tonumber(args.most))) }
local later = redis.call('ZRANGEBYSCORE', keys.unfolding, '(' .. int(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
if later[2] then reply[2] = tonumber(later[2]) - now end
return reply
