#!lua flags=no-writes
-- workers: the workers that have beaten lately, the latest first.
--
-- KEYS[1] workers      ZSET     keys.workers
-- KEYS[2] worker_info  HASH     keys.worker_info
-- ARGV[1] most: how many at most, at most 1000
--
-- Returns per worker 4 values: its name, its last beat in ms, how long that is ago in ms, what it reports of itself (JSON).
-- Budget: 1000 workers.
-- Moves:  nothing
-- Role:   monitor
-- Safe to repeat: yes. Clock: server.
-- include: clock
local found = redis.call('ZREVRANGE', keys.workers, 0, tonumber(args.most) - 1, 'WITHSCORES')
local reply = {}
for at = 1, #found, 2 do
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3] = found[at], found[at + 1], int(math.max(0, now - found[at + 1]))
  reply[n + 4] = redis.call('HGET', keys.worker_info, found[at]) or '{}'
end
return reply
