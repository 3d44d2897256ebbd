-- retire: streams that nothing is in go, with what is kept of their names. The next message makes one again (append).
--
-- Keys: streams, ready, reserved, paused_ready.
-- include: group, nobody
-- left_in(stream): how many entries a stream has, how many are pending, and how many of these workers hold.
local function left_in(stream)
  local pending, held = redis.pcall('XPENDING', stream, GROUP), 0
  if pending.err then return redis.call('XLEN', stream), 0, 0 end -- there is no stream, or no group
  for _, of in ipairs(pending[4] or {}) do
    if not is_nobody(of[1]) then held = held + of[2] end
  end
  return redis.call('XLEN', stream), pending[1], held
end
-- retire(name, stream): delete a stream; return whether it was known.
local function retire(name, stream)
  redis.call('DEL', stream)
  redis.call('ZREM', keys.ready, name)
  redis.call('ZREM', keys.paused_ready, name)
  redis.call('HDEL', keys.reserved, name)
  return redis.call('ZREM', keys.streams, name) == 1
end
-- is_ready(queue): whether one of its streams has something to claim.
local function is_ready(queue)
  local names = {}
  for priority = -100, 100 do names[priority + 101] = priority .. ':' .. queue end
  for _, score in ipairs(redis.call('ZMSCORE', keys.ready, unpack(names))) do
    if score then return true end
  end
  return false
end
