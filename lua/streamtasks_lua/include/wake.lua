-- wake: wake one idle child.
--
-- A list of 0 or 1: children wait on it. Two marks: workers listen to the channel of its name; three: they were told, and
-- nobody has claimed since.
--
-- Keys: none.
-- wake_one(list): put a token into a wake list, unless there is one; tell those who listen.
local function wake_one(list)
  local length = redis.call('LLEN', list)
  if length == 0 then
    redis.call('LPUSH', list, '1')
  elseif length == 2 then
    redis.call('LPUSH', list, '1')
    redis.call('SPUBLISH', list, '1')
  end
end
