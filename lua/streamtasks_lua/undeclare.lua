#!lua flags=allow-oom
-- undeclare: forget up to 100 schedules of a project that no worker has declared for long.
--
-- KEYS[1] schedules    HASH     keys.schedules
-- KEYS[2] states       HASH     keys.schedule_states
-- KEYS[3] names        ZSET     keys.schedule_names
-- KEYS[4] scheduled    ZSET     keys.scheduled
-- KEYS[5] declared     ZSET     keys.declared(label)
-- ARGV[1] label: of the project
-- ARGV[2] silent_ms: what no worker has declared for longer goes
--
-- Returns {now ms, more, name...}: what is forgotten; more: 1 there may be more.
-- Budget: 100 schedules.
-- Moves:  nothing
-- Role:   worker
-- Safe to repeat: yes. Clock: server.
-- include: clock, schedule_text, remove_schedule
local label, forgotten = args.label, {}
local old = redis.call('ZRANGEBYSCORE', keys.declared, '-inf', '(' .. int(now - args.silent_ms), 'LIMIT', 0, 100)
for _, name in ipairs(old) do
  local found = read_schedule(name)
  if found and found.label == label and remove_schedule(name) then forgotten[#forgotten + 1] = name end
  redis.call('ZREM', keys.declared, name)
end
return { now, #old == 100 and 1 or 0, unpack(forgotten) }
