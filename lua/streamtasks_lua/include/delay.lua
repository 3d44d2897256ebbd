-- delay: keep a message until it is due.
--
-- Keys: delayed, control.
-- include: clock
-- park(id, due): `due` in ms. Keepers are told when it is the next one.
local function park(id, due)
  redis.call('ZADD', keys.delayed, int(due), id)
  if redis.call('ZRANGE', keys.delayed, 0, 0)[1] == id then
    redis.call('SPUBLISH', keys.control, 'due ' .. int(due))
  end
end
