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
-- KEYS[12..] pairs      STREAM, LIST   keys.stream(name), keys.queue_wake(queue): those the caller knows of
-- ARGV[1] most messages, at most 100
-- ARGV[2] number of streams; then their names
--
-- Returns {now ms, promoted, next due in ms (-1: none, 0: more are due), missing names}:
--         missing: stream names that due messages need and the call did not bring.
-- Moves:  delayed -> ready | suspect, after two crashes | waiting for its limit; blocked -> delayed: those who waited
--         for a task that is finished, if they are too many for the script that finished it ("free <id> ..." is due)
-- Safe to repeat: yes. Clock: server; nothing is promoted early.
-- include: clock, line, streams, delay, links, rate, limit
local delayed, messages, state, ready, streams, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local by_name = given_streams(12, tonumber(ARGV[2]), 3)
local limit_keys = { state = state, waiting = KEYS[7], limits = KEYS[8], asking = KEYS[9], control = KEYS[10] }
local linking = { state = state, delayed = delayed, control = KEYS[10], links = KEYS[11] }
local now = now_ms()
local promoted, missing, asked = 0, {}, {}
local due = redis.call('ZRANGEBYSCORE', delayed, '-inf', int(now), 'LIMIT', 0, tonumber(ARGV[1]))
for _, id in ipairs(due) do
  local line = redis.call('HGET', state, id)
  local s = line and parse(line)
  local finished, succeeded = id:match('^free (%S+) ([01])$')
  if finished then
    local children = redis.call('HGET', linking.links, finished) or ''
    free_children(linking, finished, children, succeeded == '1', now, 100)
  elseif not s or s.phase ~= 'D' or redis.call('HEXISTS', messages, id) == 0 then
    redis.call('ZREM', delayed, id)
  elseif limit_of(s) then
    redis.call('ZREM', delayed, id)
    if s.crashes >= 2 then mark(s, 's', '1') end
    limiting().wait_for_limit(limit_keys, s, id)
    promoted = promoted + 1
  elseif by_name[s.name] then
    redis.call('ZREM', delayed, id)
    append(streams, by_name[s.name], s.name, id)
    -- Who crashed twice may have been beside the culprit, or be it: it runs alone from now on.
    local rest = idle_line(s, s.crashes >= 2 and 'S' or 'Q')
    if rest then redis.call('HSET', state, id, rest) else redis.call('HDEL', state, id) end
    make_ready(ready, wake, by_name[s.name], s.name)
    promoted = promoted + 1
  elseif not asked[s.name] then
    asked[s.name] = true
    missing[#missing + 1] = s.name
  end
end
local head = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')
local wait = -1
if head[2] then wait = math.max(0, tonumber(head[2]) - now) end
return { now, promoted, wait, missing }
