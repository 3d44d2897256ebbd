-- A schedule in two parts. `schedules` holds what it is, "<revision> <bytes of label> <bytes of rule>\n", then label,
-- rule and definition; `schedule_states` how far it is, "<paused: 1 or 0> <next ms or -> <fired> <missed> <last ms>
-- <last id or ->". `scheduled` has the next occurrence of each that has one and is not paused.
local function schedule_text(revision, label, rule, definition)
  return string.format('%d %d %d\n', revision, #label, #rule) .. label .. rule .. definition
end
local function read_schedule(schedules, name)
  local text = redis.call('HGET', schedules, name)
  if not text then return nil end
  local revision, label, rule, at = text:match('^(%d+) (%d+) (%d+)\n()')
  local rule_at = at + label
  local definition_at = rule_at + rule
  return {
    revision = tonumber(revision), label = text:sub(at, rule_at - 1), rule = text:sub(rule_at, definition_at - 1),
    definition = text:sub(definition_at),
  }
end
local function read_schedule_state(states, name)
  local text = redis.call('HGET', states, name) or ''
  local paused, next_ms, fired, missed, last_ms, last_id = text:match('^([01]) (%S+) (%d+) (%d+) (%d+) (%S+)$')
  return {
    paused = paused == '1', next_ms = tonumber(next_ms), fired = tonumber(fired or 0), missed = tonumber(missed or 0),
    last_ms = tonumber(last_ms or 0), last_id = last_id or '-',
  }
end
local function write_schedule_state(states, scheduled, name, st)
  redis.call('HSET', states, name, string.format('%d %s %d %d %.0f %s', st.paused and 1 or 0,
    st.next_ms and int(st.next_ms) or '-', st.fired, st.missed, st.last_ms, st.last_id))
  if st.paused or not st.next_ms then
    redis.call('ZREM', scheduled, name)
  else
    redis.call('ZADD', scheduled, int(st.next_ms), name)
  end
end
-- Whoever fires is told of a schedule that is the next one due.
local function tell_schedule(scheduled, control, name)
  if redis.call('ZRANGE', scheduled, 0, 0)[1] == name then redis.call('SPUBLISH', control, 'schedule') end
end
