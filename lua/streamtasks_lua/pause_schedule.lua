#!lua flags=allow-oom
-- pause_schedule: pause a schedule, or let it go on.
--
-- KEYS[1] schedules    HASH     keys.schedules
-- KEYS[2] states       HASH     keys.schedule_states
-- KEYS[3] scheduled    ZSET     keys.scheduled
-- KEYS[4] control      CHANNEL  keys.control
-- ARGV[1] name: of the schedule
-- ARGV[2] next_ms: its next occurrence, if it is to go on; "-": pause it
--
-- Returns {now ms, 1}; 0 instead of 1: there is none of that name. One that is not paused goes on as it does.
-- Budget: one schedule.
-- Moves:  nothing
-- Role:   producer
-- Safe to repeat: yes. Clock: server.
-- include: clock, schedule, schedule_next
local name, next_ms = args.name, tonumber(args.next_ms)
if redis.call('HEXISTS', keys.schedules, name) == 0 then return { now, 0 } end
local st = read_schedule_state(name)
if st.paused == (next_ms == nil) then return { now, 1 } end
st.paused, st.next_ms = next_ms == nil, next_ms or st.next_ms
write_schedule_state(name, st)
publish_next(name)
return { now, 1 }
