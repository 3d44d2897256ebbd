-- links: a task is finished; the messages that waited for it go on.
--
-- They go through `delayed`, so that promote finds their streams. "free <id> <1: it has succeeded, else 0>" stands there,
-- due now, for those that are left to promote.
-- Keys: links, state, delayed, control, waits.
-- include: clock, line, delay, children
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
  park(child, due, s.name)
end
-- free_some(id, ids, succeeded, most): let at most so many of these go on; return how many did, and the ids that are left.
local function free_some(id, ids, succeeded, most)
  local at, count = 1, 0
  while count < most do
    local from, to = ids:find('%S+', at)
    if not from then return count, '' end
    free_child(id, ids:sub(from, to), succeeded)
    at, count = to + 2, count + 1
  end
  return count, ids:sub(at)
end
-- free_children(id, succeeded, most): let at most so many go on, the first ones first; return how many did.
local function free_children(id, succeeded, most)
  local first, next_number, ids = read_children(id)
  local count = 0
  while count < most and (first < next_number or ids ~= '') do
    local field = first < next_number and id .. ' ' .. first or nil
    local freed, left = free_some(id, field and redis.call('HGET', keys.links, field) or not field and ids or '', succeeded,
      most - count)
    count = count + freed
    if not field then
      ids = left
    elseif left == '' then
      redis.call('HDEL', keys.links, field)
      first = first + 1
    else
      redis.call('HSET', keys.links, field, left)
    end
  end
  local rest = 'free ' .. id .. (succeeded and ' 1' or ' 0')
  if first == next_number and ids == '' then
    redis.call('HDEL', keys.links, id)
    redis.call('ZREM', keys.delayed, rest)
  else
    write_children(id, first, next_number, ids)
    park(rest, now)
  end
  return count
end
