-- children: the messages that wait for the end of another one.
--
-- `links` holds their ids, separated by spaces, under that one's. Of many, chunks are kept apart, under "<id> <number>":
-- "+<first number>,<next number> " stands before the others then. So no call reads or writes more than a chunk.
-- Keys: links.
local CHUNK_BYTES = 4000
-- read_children(id): numbers of the first chunk kept apart and of the next one (equal: there is none), and the other ids.
local function read_children(id)
  local text = redis.call('HGET', keys.links, id) or ''
  local first, next_number, at = text:match('^%+(%d+),(%d+) ()')
  if not first then return 1, 1, text end
  return tonumber(first), tonumber(next_number), text:sub(at)
end
-- write_children(id, first, next_number, ids): the same, written.
local function write_children(id, first, next_number, ids)
  if next_number > 1 then ids = '+' .. first .. ',' .. next_number .. ' ' .. ids end
  redis.call('HSET', keys.links, id, ids)
end
-- add_child(id, child): one more message waits for this one.
local function add_child(id, child)
  local first, next_number, ids = read_children(id)
  if #ids >= CHUNK_BYTES then
    redis.call('HSET', keys.links, id .. ' ' .. next_number, ids)
    next_number, ids = next_number + 1, ''
  end
  write_children(id, first, next_number, ids == '' and child or ids .. ' ' .. child)
end
