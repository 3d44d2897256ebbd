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
local known, searches, gone, freed = {}, 0, {}, 0
-- member_of(entry): its member of `dead_sizes`, which is in the order of entries: what it says is known without reading.
-- From the second search on it remembers the neighbours, which are often next.
local function member_of(entry)
  if known[entry] then return known[entry] end
  searches = searches + 1
  local low, high = 0, redis.call('ZCARD', keys.dead_sizes) - 1
  while low <= high do
    local middle = math.floor((low + high) / 2)
    local member = redis.call('ZRANGE', keys.dead_sizes, middle, middle)[1]
    local found = member:match('^%S+')
    if found == entry then
      if searches == 2 then
        for _, one in ipairs(redis.call('ZRANGE', keys.dead_sizes, math.max(middle - 100, 0), middle + 100)) do
          known[one:match('^%S+')] = one
        end
      end
      return member
    end
    if is_before(found, entry) then low = middle + 1 else high = middle - 1 end
  end
end
-- delete_letter(entry): 1 deleted, 0 there is none; forget_deleted() follows.
local function delete_letter(entry)
  local deleted = redis.call('XDEL', keys.dead, entry)
  local member = deleted == 1 and member_of(entry)
  if member then
    gone[#gone + 1] = member
    freed = freed + member:match('%d+$')
  end
  return deleted
end
-- forget_deleted(): what was deleted counts no more.
local function forget_deleted()
  if #gone == 0 then return end
  redis.call('ZREM', keys.dead_sizes, unpack(gone))
  redis.call('DECRBY', keys.dead_bytes, string.format('%.0f', freed))
end
