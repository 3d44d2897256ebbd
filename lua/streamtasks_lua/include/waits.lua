-- waits: how many messages of each queue wait for their time, and how many for a limit.
--
-- Keys: waits.
-- count_wait(kind, name, by): `kind`: "delayed" or "limited"; `name`: of the message's stream; `by`: 1 or -1. A member goes
-- when nobody waits; so it does for those that an older release let wait, which did not count them.
local function count_wait(kind, name, by)
  local member = kind .. ' ' .. (string.match(name, ':(.*)$') or name)
  if tonumber(redis.call('ZINCRBY', keys.waits, by, member)) <= 0 then redis.call('ZREM', keys.waits, member) end
end
