#!lua flags=allow-oom
-- resume: let a queue, or everything, be claimed again.
--
-- KEYS[1] paused       ZSET     keys.paused
-- KEYS[2] pause_notes  HASH     keys.pause_notes
-- KEYS[3] paused_ready ZSET     keys.paused_ready
-- KEYS[4] ready        ZSET     keys.ready
-- KEYS[5] streams      ZSET     keys.streams
-- KEYS[6] wake         LIST     keys.wake
-- KEYS[7..] pairs      STREAM, LIST   keys.stream(name), keys.queue_wake(queue)
-- ARGV[1] what: "queue:<name>", or "*": everything
-- ARGV[2] stream_count: number of streams
-- ARGV[3..] their names
--
-- Returns {1 it was paused, else 0; missing}: names of streams that wait and that the call must bring: until then it stays
--         paused, but what the call has brought goes on. A queue stays as it is while everything is paused.
-- Budget: 201 streams.
-- Moves:  nothing
-- Role:   producer
-- Safe to repeat: yes. Clock: none.
-- include: streams
local what, names, missing = args.what, nil, {}
local was = redis.call('ZSCORE', keys.paused, what) and 1 or 0
if what == '*' then
  names = redis.call('ZRANGEBYSCORE', keys.paused_ready, 1, 1, 'LIMIT', 0, 100)
else
  local all = {}
  for priority = -100, 100 do all[priority + 101] = priority .. ':' .. what:match('^queue:(.*)$') end
  names = {}
  for i, score in ipairs(redis.call('ZMSCORE', keys.paused_ready, unpack(all))) do
    if score then names[#names + 1] = all[i] end
  end
  if redis.call('ZSCORE', keys.paused, '*') then
    for _, name in ipairs(names) do redis.call('ZADD', keys.paused_ready, 1, name) end
    names = {}
  end
end
for _, name in ipairs(names) do
  local stream = by_name[name]
  if stream then
    redis.call('ZREM', keys.paused_ready, name)
    redis.call('ZADD', keys.ready, name:match('^(-?%d+):'), name)
    wake_one(keys.wake)
    wake_one(stream.wake)
  else
    missing[#missing + 1] = name
  end
end
if #missing == 0 and what == '*' then
  missing = redis.call('ZRANGEBYSCORE', keys.paused_ready, 1, 1, 'LIMIT', 0, 100)
end
if #missing == 0 then
  redis.call('ZREM', keys.paused, what)
  redis.call('HDEL', keys.pause_notes, what)
end
return { was, missing }
