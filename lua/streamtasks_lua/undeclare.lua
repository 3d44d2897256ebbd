#!lua flags=allow-oom
-- undeclare: forget up to 100 schedules that an app's code has declared, and does not any more.
--
-- KEYS[1] schedules    HASH     keys.schedules
-- KEYS[2] states       HASH     keys.schedule_states
-- KEYS[3] names        ZSET     keys.schedule_names
-- KEYS[4] scheduled    ZSET     keys.scheduled
-- KEYS[5] declarations HASH     keys.declarations
-- KEYS[6] declared     ZSET     keys.declared(label)
-- ARGV[1] label: of the app
-- ARGV[2] since_ms: when its code was loaded; what it has declared since then stays
--
-- Returns {now ms, forgotten, more}; more: 1 there may be more to forget.
-- Budget: 100 schedules.
-- Moves:  nothing
-- Safe to repeat: yes. Clock: server.
-- include: clock, schedule_text, remove_schedule
local label, since = args.label, args.since_ms
local known, forgotten = redis.call('HGET', keys.declarations, label), 0
-- Code that is older than what has been declared meanwhile declares nothing any more.
if not known or tonumber(known) < tonumber(since) then redis.call('HSET', keys.declarations, label, since) end
local old = redis.call('ZRANGEBYSCORE', keys.declared, '-inf', '(' .. since, 'LIMIT', 0, 100)
for _, name in ipairs(old) do
  local found = read_schedule(name)
  if found and found.label == label and remove_schedule(name) then
    forgotten = forgotten + 1
  end
  redis.call('ZREM', keys.declared, name)
end
return { now, forgotten, #old == 100 and 1 or 0 }
