-- schedule: what a shard knows of a schedule, in two parts; see README.md ("Schedules").
--
-- `schedules` holds what it is, "<revision> <bytes of label> <bytes of rule>\n", then label, rule and definition; `states`
-- how far it is, "<paused: 1 or 0> <next ms or -> <fired> <missed> <last ms> <last id or ->". `scheduled` has the next
-- occurrence of each that has one and is not paused.
-- Keys: states, scheduled.
-- include: clock
-- read_schedule_state(name): how far it is, as a table; of an unknown one, that of a new one.
local function read_schedule_state(name)
  local text = redis.call('HGET', keys.states, name) or ''
  local paused, next_ms, fired, missed, last_ms, last_id = text:match('^([01]) (%S+) (%d+) (%d+) (%d+) (%S+)$')
  return {
    paused = paused == '1', next_ms = tonumber(next_ms), fired = tonumber(fired or 0), missed = tonumber(missed or 0),
    last_ms = tonumber(last_ms or 0), last_id = last_id or '-',
  }
end
-- write_schedule_state(name, st): store it.
local function write_schedule_state(name, st)
  redis.call('HSET', keys.states, name, string.format('%d %s %d %d %.0f %s', st.paused and 1 or 0,
    st.next_ms and int(st.next_ms) or '-', st.fired, st.missed, st.last_ms, st.last_id))
  if st.paused or not st.next_ms then
    redis.call('ZREM', keys.scheduled, name)
  else
    redis.call('ZADD', keys.scheduled, int(st.next_ms), name)
  end
end
