#!lua flags=allow-oom
-- beat: note that a worker lives; the first beat after a silence of all workers holds reclaim back.
--
-- KEYS[1] workers      ZSET     keys.workers
-- KEYS[2] worker_info  HASH     keys.worker_info
-- KEYS[3] beat         STRING   keys.beat: "<last beat ms> <no reclaim before ms>"
-- ARGV[1] worker: its name
-- ARGV[2] info: what it reports of itself (JSON), or "" when it leaves
-- ARGV[3] lease_ms: its lease
-- ARGV[4] prune_ms: a worker that is silent for longer is removed
--
-- Returns {now ms, hold ms}: how long reclaim is held back, 0 normally.
-- Moves:  nothing
-- Safe to repeat: yes. Clock: server.
-- include: clock
local worker, info, lease_ms, prune_ms = args.worker, args.info, tonumber(args.lease_ms), tonumber(args.prune_ms)
local last, hold = (redis.call('GET', keys.beat) or ''):match('^(%d+) (%d+)$')
last, hold = tonumber(last or 0), tonumber(hold or 0)
if last > 0 and now - last > lease_ms / 2 then hold = math.max(hold, now + lease_ms) end
redis.call('SET', keys.beat, int(now) .. ' ' .. int(hold))
if info == '' then
  redis.call('ZREM', keys.workers, worker)
  redis.call('HDEL', keys.worker_info, worker)
else
  redis.call('ZADD', keys.workers, int(now), worker)
  redis.call('HSET', keys.worker_info, worker, info)
end
for _, silent in ipairs(redis.call('ZRANGEBYSCORE', keys.workers, '-inf', int(now - prune_ms), 'LIMIT', 0, 100)) do
  redis.call('ZREM', keys.workers, silent)
  redis.call('HDEL', keys.worker_info, silent)
end
return { now, math.max(0, hold - now) }
