-- dead: dead letters are added, and the oldest go while there are too many, or too many bytes of them.
--
-- `dead_sizes` has one member per dead letter, "<entry id> <bytes>", in their order; `dead_bytes` is the sum. So what goes
-- is known without reading it.
-- Keys: dead, dead_sizes, dead_bytes, control.
-- include: clock
local MOST_DELETED = 5000 -- by one call
-- bury(size, field, value, ...): add a dead letter whose values have so many bytes.
local function bury(size, ...)
  local newest = redis.call('ZREVRANGE', keys.dead_sizes, 0, 0, 'WITHSCORES')[2]
  if newest and redis.call('EXISTS', keys.dead) == 0 then -- it was deleted by hand
    redis.call('DEL', keys.dead_sizes, keys.dead_bytes)
    newest = nil
  end
  local entry = redis.call('XADD', keys.dead, '*', ...)
  redis.call('ZADD', keys.dead_sizes, int((newest or 0) + 1), entry .. ' ' .. int(size))
  redis.call('INCRBY', keys.dead_bytes, int(size))
end
-- delete_oldest_dead(): delete the oldest dead letters while there are too many; the newest stays. Says so on `control`.
local function delete_oldest_dead()
  local left, bytes = redis.call('ZCARD', keys.dead_sizes), tonumber(redis.call('GET', keys.dead_bytes) or 0)
  local kept, kept_bytes, deleted, freed = tonumber(args.dead_kept), tonumber(args.dead_bytes_kept), 0, 0
  while (left > kept or bytes > kept_bytes) and left > 1 and deleted < MOST_DELETED do
    local entries = {}
    for _, member in ipairs(redis.call('ZRANGE', keys.dead_sizes, 0, 99)) do
      if left <= 1 or (left <= kept and bytes <= kept_bytes) then break end
      local entry, size = member:match('^(%S+) (%d+)$')
      entries[#entries + 1] = entry
      left, bytes, freed = left - 1, bytes - size, freed + size
    end
    redis.call('XDEL', keys.dead, unpack(entries))
    redis.call('ZREMRANGEBYRANK', keys.dead_sizes, 0, #entries - 1)
    deleted = deleted + #entries
  end
  if deleted > 0 then
    redis.call('DECRBY', keys.dead_bytes, int(freed))
    redis.call('SPUBLISH', keys.control, 'dead ' .. deleted)
  end
end
