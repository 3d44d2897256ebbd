-- letters: dead letters are deleted, and what counts them with them.
--
-- Keys: dead, dead_sizes, dead_bytes.
-- is_before(one, other): whether an entry id is older than another.
local function is_before(one, other)
  local ms, number = one:match('^(%d+)-(%d+)$')
  local other_ms, other_number = other:match('^(%d+)-(%d+)$')
  if ms ~= other_ms then return tonumber(ms) < tonumber(other_ms) end
  return tonumber(number) < tonumber(other_number)
end
local near = 0 -- the place of the last one that was found; its neighbours are often next
-- member_of(entry): its member of `dead_sizes`, which is in the order of entries: what it says is known without reading.
local function member_of(entry)
  for place = math.max(near - 1, 0), near do
    local member = redis.call('ZRANGE', keys.dead_sizes, place, place)[1]
    if member and member:match('^%S+') == entry then
      near = place
      return member
    end
  end
  local low, high = 0, redis.call('ZCARD', keys.dead_sizes) - 1
  while low <= high do
    local middle = math.floor((low + high) / 2)
    local member = redis.call('ZRANGE', keys.dead_sizes, middle, middle)[1]
    local found = member:match('^%S+')
    if found == entry then
      near = middle
      return member
    end
    if is_before(found, entry) then low = middle + 1 else high = middle - 1 end
  end
end
-- delete_letter(entry): 1 deleted, 0 there is none.
local function delete_letter(entry)
  local deleted = redis.call('XDEL', keys.dead, entry)
  local member = deleted == 1 and member_of(entry)
  if member then
    redis.call('ZREM', keys.dead_sizes, member)
    redis.call('DECRBY', keys.dead_bytes, member:match('%d+$'))
  end
  return deleted
end
