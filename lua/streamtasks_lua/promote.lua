#!lua flags=allow-oom
-- promote: move due messages to their streams, earliest first.
--
-- KEYS[1] delayed      ZSET     keys.delayed
-- KEYS[2] messages     HASH     keys.messages
-- KEYS[3] state        HASH     keys.state
-- KEYS[4] ready        ZSET     keys.ready
-- KEYS[5] streams      ZSET     keys.streams
-- KEYS[6] wake         LIST     keys.wake
-- KEYS[7] waiting      ZSET     keys.waiting
-- KEYS[8] limits       HASH     keys.limits
-- KEYS[9] asking       ZSET     keys.asking
-- KEYS[10] control     CHANNEL  keys.control
-- KEYS[11] links       HASH     keys.links
-- KEYS[12] paused      ZSET     keys.paused
-- KEYS[13] paused_ready ZSET    keys.paused_ready
-- KEYS[14] waits       ZSET     keys.waits
-- KEYS[15..] pairs     STREAM, LIST   keys.stream(name), keys.queue_wake(queue): those the caller knows of
-- ARGV[1] most: at most 100 messages
-- ARGV[2] stream_count: number of streams
-- ARGV[3..] their names
--
-- Returns {now ms, missing, promoted, next due in us (-1: none, 0: more are due)}; missing: names of streams that due
--         messages need and the call did not bring: call again with them.
-- Budget: 100 due messages, 100 that waited for finished ones.
-- Moves:  delayed -> ready | suspect, after two crashes | waiting for its limit; blocked -> delayed: those that waited
--         for a task that is finished, if they are too many for the script that finished it ("free <id> ..." is due)
-- Role:   worker
-- Safe to repeat: yes. Clock: server; nothing is promoted early.
-- include: clock, missing, place
local most, promoted = tonumber(args.most), 0
local to_free = most
for _, id in ipairs(redis.call('ZRANGEBYSCORE', keys.delayed, '-inf', int(now), 'LIMIT', 0, most)) do
  local line = redis.call('HGET', keys.state, id)
  local s = line and parse(line)
  local finished, succeeded = id:match('^free (%S+) ([01])$')
  if finished then
    -- include: links
    if to_free > 0 then to_free = to_free - free_children(finished, succeeded == '1', to_free) end
  elseif not s or s.phase ~= 'D' or redis.call('HEXISTS', keys.messages, id) == 0 then
    unpark(id, s and s.name)
  elseif limit_of(s) or brought(s.name) then
    unpark(id, s.name)
    place(s, id, 0)
    promoted = promoted + 1
  end
end
local head = redis.call('ZRANGE', keys.delayed, 0, 0, 'WITHSCORES')
return { now, missing, promoted, head[2] and math.max(0, tonumber(head[2]) * 1000 - now_us) or -1 }
