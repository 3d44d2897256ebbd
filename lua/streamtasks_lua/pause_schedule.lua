#!lua flags=allow-oom
-- pause_schedule: pause a schedule, or let it go on.
--
-- KEYS[1] schedules    HASH     keys.schedules
-- KEYS[2] states       HASH     keys.schedule_states
-- KEYS[3] scheduled    ZSET     keys.scheduled
-- KEYS[4] control      CHANNEL  keys.control
-- ARGV[1] name
-- ARGV[2] its next occurrence, if it is to go on, ms; "-": pause it
--
-- Returns {now ms, 1}; 0 instead of 1: there is none of that name. One that is not paused goes on as it does.
-- Moves:  nothing
-- Safe to repeat: yes. Clock: server.
-- include: clock, schedule
local schedules, states, scheduled, control = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local name, next_ms = ARGV[1], tonumber(ARGV[2])
local now = now_ms()
if redis.call('HEXISTS', schedules, name) == 0 then return { now, 0 } end
local st = read_schedule_state(states, name)
if st.paused == (next_ms == nil) then return { now, 1 } end
st.paused, st.next_ms = next_ms == nil, next_ms or st.next_ms
write_schedule_state(states, scheduled, name, st)
tell_schedule(scheduled, control, name)
return { now, 1 }
