#!lua flags=allow-oom
-- pause: let nothing more be claimed of a queue, of a task, or at all, until it is resumed. What is claimed runs to its end.
--
-- KEYS[1] paused       ZSET     keys.paused
-- KEYS[2] pause_notes  HASH     keys.pause_notes
-- KEYS[3] paused_ready ZSET     keys.paused_ready
-- KEYS[4] ready        ZSET     keys.ready
-- ARGV[1] what: "queue:<name>", "task:<name>", or "*": everything
-- ARGV[2] note: JSON: who, and why
-- ARGV[3] most: so many can be paused
-- ARGV[4..] names of the queue's streams, for all of its priorities; of others: none
--
-- Returns {1 it is paused now, 0 it was before, -1 too many are; 1: more of everything is ready: call again}.
-- Budget: 1,000 streams.
-- Moves:  nothing
-- Role:   producer
-- Safe to repeat: yes, the later note counts. Clock: server.
-- include: clock
local what, is_new = args.what, redis.call('ZADD', keys.paused, 'NX', 0, args.what)
if is_new == 1 and redis.call('ZCARD', keys.paused) > tonumber(args.most) then
  redis.call('ZREM', keys.paused, what)
  return { -1, 0 }
end
local known = redis.call('HGET', keys.pause_notes, what)
redis.call('HSET', keys.pause_notes, what, (known and known:match('^%d+') or int(now)) .. ' ' .. args.note)
if what == '*' then
  local names, moved = redis.call('ZRANGE', keys.ready, 0, 999), {}
  for _, name in ipairs(names) do
    moved[#moved + 1] = 1
    moved[#moved + 1] = name
  end
  if #names > 0 then
    redis.call('ZADD', keys.paused_ready, unpack(moved))
    redis.call('ZREM', keys.ready, unpack(names))
  end
  return { is_new, redis.call('EXISTS', keys.ready) }
elseif what:sub(1, 5) == 'task:' then
  redis.call('ZADD', keys.paused, 1, what) -- claims look for this score
  return { is_new, 0 }
end
local ready = redis.call('ZMSCORE', keys.ready, unpack(ARGV, args.more))
local waits = redis.call('ZMSCORE', keys.paused_ready, unpack(ARGV, args.more))
for i = 1, #ready do
  if ready[i] or waits[i] then
    redis.call('ZREM', keys.ready, ARGV[args.more + i - 1])
    redis.call('ZADD', keys.paused_ready, 0, ARGV[args.more + i - 1])
  end
end
return { is_new, 0 }
