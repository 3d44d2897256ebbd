#!lua flags=allow-oom
-- discard_dead: delete dead letters.
--
-- KEYS[1] dead         STREAM   keys.dead
-- KEYS[2] dead_sizes   ZSET     keys.dead_sizes
-- KEYS[3] dead_bytes   STRING   keys.dead_bytes
-- ARGV[1..] per dead letter 2 values: entry id; id of its message, "" if it is bytes that are none. At most 100.
--
-- Returns {1 deleted, 0 there is none, ...}, one per entry.
-- Budget: 100 dead letters, whatever their size.
-- Moves:  nothing
-- Safe to repeat: yes. Clock: none.
-- is_before(one, other): whether an entry id is older than another.
local function is_before(one, other)
  local ms, number = one:match('^(%d+)-(%d+)$')
  local other_ms, other_number = other:match('^(%d+)-(%d+)$')
  if ms ~= other_ms then return tonumber(ms) < tonumber(other_ms) end
  return tonumber(number) < tonumber(other_number)
end
-- member_of(entry): its member of `dead_sizes`, which is in the order of entries: what it says is known without reading.
local function member_of(entry)
  local low, high = 0, redis.call('ZCARD', keys.dead_sizes) - 1
  while low <= high do
    local middle = math.floor((low + high) / 2)
    local member = redis.call('ZRANGE', keys.dead_sizes, middle, middle)[1]
    local found = member:match('^%S+')
    if found == entry then return member end
    if is_before(found, entry) then low = middle + 1 else high = middle - 1 end
  end
end
local reply = {}
for at = args.more, #ARGV, 2 do
  local entry, deleted = ARGV[at], 0
  -- An entry of another shard may have the same id; where messages are, their ids tell.
  local garbage = ARGV[at + 1] == '' and redis.call('XRANGE', keys.dead, entry, entry)[1]
  if ARGV[at + 1] ~= '' or (garbage and garbage[2][2] == 'undecodable') then
    deleted = redis.call('XDEL', keys.dead, entry)
  end
  local member = deleted == 1 and member_of(entry)
  if member then
    redis.call('ZREM', keys.dead_sizes, member)
    redis.call('DECRBY', keys.dead_bytes, member:match('%d+$'))
  end
  reply[#reply + 1] = deleted
end
return reply
