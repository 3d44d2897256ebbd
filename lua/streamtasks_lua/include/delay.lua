-- delay: keep a message until it is due.
--
-- Keys: delayed, control, waits.
-- include: clock, waits
-- park(id, due, name): `due` in ms; `name`: of its stream, nil: it is no message. Keepers are told when it is the next one.
local function park(id, due, name)
  if redis.call('ZADD', keys.delayed, int(due), id) == 1 and name then count_wait('delayed', name, 1) end
  if redis.call('ZRANGE', keys.delayed, 0, 0)[1] == id then
    redis.call('SPUBLISH', keys.control, 'due ' .. int(due))
  end
end
-- unpark(id, name): it waits for its time no more. `name`: of its stream, nil: that is not known.
local function unpark(id, name)
  if redis.call('ZREM', keys.delayed, id) == 1 and name then count_wait('delayed', name, -1) end
end
