#!lua flags=allow-oom
-- beat: a worker says that it lives; the first beat after a silence of all workers holds reclaim back.
--
-- KEYS[1] workers      ZSET     keys.workers
-- KEYS[2] worker_info  HASH     keys.worker_info
-- KEYS[3] beat         STRING   keys.beat: "<last beat ms> <no reclaim before ms>"
-- ARGV[1] worker
-- ARGV[2] what it says of itself (JSON), or "" when it leaves
-- ARGV[3] its lease, ms
-- ARGV[4] a worker silent for longer than this is struck off, ms
--
-- Returns {now ms, hold ms}: how long reclaim is held back, 0 normally.
-- Moves:  nothing
-- Safe to repeat: yes. Clock: server.
-- include: clock
local workers, worker_info, beat = KEYS[1], KEYS[2], KEYS[3]
local worker, info, lease_ms, prune_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local now = now_ms()
local last, hold = (redis.call('GET', beat) or ''):match('^(%d+) (%d+)$')
last, hold = tonumber(last or 0), tonumber(hold or 0)
if last > 0 and now - last > lease_ms / 2 then hold = math.max(hold, now + lease_ms) end
redis.call('SET', beat, int(now) .. ' ' .. int(hold))
if info == '' then
  redis.call('ZREM', workers, worker)
  redis.call('HDEL', worker_info, worker)
else
  redis.call('ZADD', workers, int(now), worker)
  redis.call('HSET', worker_info, worker, info)
end
for _, silent in ipairs(redis.call('ZRANGEBYSCORE', workers, '-inf', int(now - prune_ms), 'LIMIT', 0, 100)) do
  redis.call('ZREM', workers, silent)
  redis.call('HDEL', worker_info, silent)
end
return { now, math.max(0, hold - now) }
