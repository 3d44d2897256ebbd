-- remove_schedule: remove a schedule.
--
-- Keys: schedules, states, names, scheduled.
-- remove_schedule(name): false: there is none of that name.
local function remove_schedule(name)
  if redis.call('HDEL', keys.schedules, name) == 0 then return false end
  redis.call('HDEL', keys.states, name)
  redis.call('ZREM', keys.names, name)
  redis.call('ZREM', keys.scheduled, name)
  return true
end
