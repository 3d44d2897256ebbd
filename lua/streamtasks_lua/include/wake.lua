-- wake: wake one idle child.
--
-- Keys: none.
-- wake_one(list): put a token into a wake list, unless there is one.
local function wake_one(list)
  if redis.call('LLEN', list) == 0 then redis.call('LPUSH', list, '1') end
end
