-- links: a task is finished; the messages that waited for it go on.
--
-- They go through `delayed`, so that promote finds their streams. "free <id> <1: it has succeeded, else 0>" stands there,
-- due now, for those that are left to promote.
-- Keys: links, state, delayed, control.
-- include: clock, line, delay
-- free_child(id, child, succeeded): let one go on: now, or when it is due itself; if the task has not succeeded, now,
-- with mark x=parent:<id>.
local function free_child(id, child, succeeded)
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
  park(child, due)
end
-- free_children(id, succeeded, most): let at most so many go on; return how many did.
local function free_children(id, succeeded, most)
  local children = redis.call('HGET', keys.links, id) or ''
  local from, to
  local at, count = 1, 0
  while count < most do
    from, to = children:find('%S+', at)
    if not from then break end
    free_child(id, children:sub(from, to), succeeded)
    at, count = to + 1, count + 1
  end
  local rest = 'free ' .. id .. (succeeded and ' 1' or ' 0')
  if at > #children then
    redis.call('HDEL', keys.links, id)
    redis.call('ZREM', keys.delayed, rest)
  else
    redis.call('HSET', keys.links, id, children:sub(at + 1))
    park(rest, now)
  end
  return count
end
