#!lua flags=allow-oom
-- beat: note that a worker lives. The first beat after a silence of all workers holds reclaim back; the first one after the
--       clock went back sets stored times right.
--
-- KEYS[1] workers      ZSET     keys.workers
-- KEYS[2] worker_info  HASH     keys.worker_info
-- KEYS[3] beat         STRING   keys.beat: "<last beat ms> <no reclaim before ms>"
-- KEYS[4] leases       ZSET     keys.leases
-- KEYS[5] asking       ZSET     keys.asking
-- KEYS[6] unfolding    ZSET     keys.unfolding
-- KEYS[7] listeners   STRING   keys.listeners: it is there while workers listen
-- KEYS[8] delayed      ZSET     keys.delayed
-- KEYS[9] scheduled    ZSET     keys.scheduled
-- KEYS[10] ready       ZSET     keys.ready
-- KEYS[11] worker_requests HASH keys.worker_requests
-- ARGV[1] worker: its name
-- ARGV[2] info: what it reports of itself (JSON), or "" when it leaves
-- ARGV[3] lease_ms: its lease
-- ARGV[4] prune_ms: a worker that is silent for longer is removed
-- ARGV[5] listens_ms: for how long it is remembered that it listens to the ends of all tasks, 0: it does not
--
-- Returns {now ms, hold ms, back ms, delayed, schedule, unfold, limit, lease, ready, request}: how long reclaim is held back, 0
--         normally; by how much the clock went back since the last beat of any worker, 0 normally; in how many ms the
--         first of each kind comes (a lease: that it ends; ready: 0), -1: there is none. request: what somebody
--         asks of this worker, "": nothing; it is told once.
-- Budget: one worker; 100 silent ones are forgotten; after the clock went back, 1,000 members of each set are set right.
-- Moves:  nothing
-- Role:   worker
-- Safe to repeat: yes. Clock: server.
-- include: clock
local MOST_MOVED = 1000 -- of each set, so that the call stays short
local worker, info, lease_ms, prune_ms = args.worker, args.info, tonumber(args.lease_ms), tonumber(args.prune_ms)
-- moved(set, back): scores and members of what lies ahead in a ZSET, moved back by so much, but not before now.
local function moved(set, back)
  local found = {}
  local later = redis.call('ZRANGEBYSCORE', set, '(' .. int(now), '+inf', 'WITHSCORES', 'LIMIT', 0, MOST_MOVED)
  for at = 1, #later, 2 do found[at], found[at + 1] = int(math.max(now, later[at + 1] - back)), later[at] end
  return found
end
local last, hold = (redis.call('GET', keys.beat) or ''):match('^(%d+) (%d+)$')
last, hold = tonumber(last or 0), tonumber(hold or 0)
-- Where nothing is held, workers beat seldom. So the last claim or renewal counts as well: its lease began then. Longer
-- leases than one from now are those of workers with other settings.
local alive = last
if last > 0 and now - last > lease_ms / 2 then
  local newest = redis.call('ZREVRANGEBYSCORE', keys.leases, int(now + lease_ms), '-inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  alive = math.max(last, (newest or 0) - lease_ms)
end
if last > 0 and now - alive > lease_ms / 2 then hold = math.max(hold, now + lease_ms) end
local back = math.max(0, last - now)
if back > 0 then
  -- The clock went back. No lease outlasts one from now on, nor does the hold; what is to be looked at waits no longer than
  -- it did before. Holders that live renew theirs anyway.
  hold = math.min(hold, now + lease_ms)
  for _, token in ipairs(redis.call('ZRANGEBYSCORE', keys.leases, '(' .. int(now + lease_ms), '+inf', 'LIMIT', 0, MOST_MOVED)) do
    redis.call('ZADD', keys.leases, int(now + lease_ms), token)
  end
  local asking, unfolding, workers = moved(keys.asking, back), moved(keys.unfolding, back), moved(keys.workers, back)
  if #asking > 0 then redis.call('ZADD', keys.asking, unpack(asking)) end
  if #unfolding > 0 then redis.call('ZADD', keys.unfolding, unpack(unfolding)) end
  if #workers > 0 then redis.call('ZADD', keys.workers, unpack(workers)) end
end
redis.call('SET', keys.beat, int(now) .. ' ' .. int(hold))
if args.listens_ms ~= '0' then redis.call('SET', keys.listeners, '1', 'PX', args.listens_ms) end
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
  redis.call('HDEL', keys.worker_requests, silent)
end
local reply = { now, math.max(0, hold - now), back }
for _, set in ipairs({ keys.delayed, keys.scheduled, keys.unfolding, keys.asking, keys.leases }) do
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2]
  reply[#reply + 1] = first and math.floor(math.max(0, first - now)) or -1
end
reply[#reply + 1] = redis.call('ZCARD', keys.ready) > 0 and 0 or -1
local request = redis.call('HGET', keys.worker_requests, worker)
if request then redis.call('HDEL', keys.worker_requests, worker) end
reply[#reply + 1] = request or ''
return reply
