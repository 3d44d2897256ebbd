#!lua flags=allow-oom
-- undeclare: forget up to 100 schedules that an app's code has declared, and does not any more.
--
-- KEYS[1] schedules    HASH     keys.schedules
-- KEYS[2] states       HASH     keys.schedule_states
-- KEYS[3] names        ZSET     keys.schedule_names
-- KEYS[4] scheduled    ZSET     keys.scheduled
-- KEYS[5] declarations HASH     keys.declarations
-- KEYS[6] declared     ZSET     keys.declared(label)
-- ARGV[1] label of the app
-- ARGV[2] when its code was loaded, ms: what it has declared since then stays
--
-- Returns {now ms, forgotten, more}; more: 1 there may be more to forget.
-- Moves:  nothing
-- Safe to repeat: yes. Clock: server.
-- include: clock, schedule, forget_schedule
local schedules, states, names, scheduled, declarations, declared = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local label, since = ARGV[1], ARGV[2]
local known, forgotten = redis.call('HGET', declarations, label), 0
-- Code that is older than what has been declared meanwhile declares nothing any more.
if not known or tonumber(known) < tonumber(since) then redis.call('HSET', declarations, label, since) end
local old = redis.call('ZRANGEBYSCORE', declared, '-inf', '(' .. since, 'LIMIT', 0, 100)
for _, name in ipairs(old) do
  local found = read_schedule(schedules, name)
  if found and found.label == label and forget_schedule(schedules, states, names, scheduled, name) then
    forgotten = forgotten + 1
  end
  redis.call('ZREM', declared, name)
end
return { now_ms(), forgotten, #old == 100 and 1 or 0 }
