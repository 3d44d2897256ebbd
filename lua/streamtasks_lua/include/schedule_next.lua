-- schedule_next: tell keepers of a schedule that is the next one due.
--
-- Keys: scheduled, control.
-- publish_next(name): publish it, if it is the next one.
local function publish_next(name)
  if redis.call('ZRANGE', keys.scheduled, 0, 0)[1] == name then redis.call('SPUBLISH', keys.control, 'schedule') end
end
