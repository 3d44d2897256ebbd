-- A task is finished: let those go on that waited for it, through `delayed`, so that promote finds their streams. Due
-- now, or when they are themselves; if the task has not succeeded, now, with the mark x=parent:<id>. At most so many;
-- for the rest "free <id> <1: it has succeeded>" stands in `delayed`, due now, and promote goes on.
local MOST_FREED_AT_ONCE = 20
local function free_child(keys, id, child, succeeded, now)
  local line = redis.call('HGET', keys.state, child)
  local s = line and parse(line)
  if not s or s.phase ~= 'B' or mark_of(s, 'a') ~= id then return end
  local due = math.max(now, tonumber(mark_of(s, 'd') or 0))
  mark(s, 'a', nil)
  mark(s, 'd', nil)
  if not succeeded then
    mark(s, 'x', 'parent:' .. id)
    due = now
  end
  s.phase = 'D'
  redis.call('HSET', keys.state, child, format(s))
  park(keys.delayed, keys.control, child, due)
end
local function free_children(keys, id, children, succeeded, now, most)
  local from, to
  local at, count = 1, 0
  while count < most do
    from, to = children:find('%S+', at)
    if not from then break end
    free_child(keys, id, children:sub(from, to), succeeded, now)
    at, count = to + 1, count + 1
  end
  local rest = 'free ' .. id .. (succeeded and ' 1' or ' 0')
  if at > #children then
    redis.call('HDEL', keys.links, id)
    redis.call('ZREM', keys.delayed, rest)
  else
    redis.call('HSET', keys.links, id, children:sub(at + 1))
    park(keys.delayed, keys.control, rest, now)
  end
end
