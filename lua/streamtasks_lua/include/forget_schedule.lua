-- Forget a schedule; false: there is none of that name.
local function forget_schedule(schedules, states, names, scheduled, name)
  if redis.call('HDEL', schedules, name) == 0 then return false end
  redis.call('HDEL', states, name)
  redis.call('ZREM', names, name)
  redis.call('ZREM', scheduled, name)
  return true
end
