#!lua flags=no-writes
-- series: what was counted of some queues and tasks, the names of those that were counted, and when releases came.
--
-- KEYS[1] releases     LIST     keys.releases
-- KEYS[2] today        HASH     keys.hour_series(day)
-- KEYS[3] yesterday    HASH     keys.hour_series(day - 1)
-- KEYS[4..] some       HASH     keys.minute_series(hour) or keys.hour_series(day), each
-- ARGV[1..] names of series
--
-- Returns {now ms, {release...}, names, each behind a line end, {text of each name, or nil} of each of KEYS[4..]}.
-- Budget: 32 hashes, 8 names of series.
-- Moves:  nothing
-- Role:   monitor
-- Safe to repeat: yes. Clock: server.
-- include: clock
local names = (redis.call('HGET', keys.today, '#names') or '') .. (redis.call('HGET', keys.yesterday, '#names') or '')
local found = { now, redis.call('LRANGE', keys.releases, 0, -1), names }
for at = keys.more, #KEYS do found[#found + 1] = redis.call('HMGET', KEYS[at], unpack(ARGV)) end
return found
