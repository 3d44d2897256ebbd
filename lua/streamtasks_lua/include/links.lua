-- A task is finished: let those go on that waited for it, through `delayed`, so that promote finds their streams. Due
-- now, or when they are themselves; if the task has not succeeded, now, with the mark x=parent:<id>.
local function free_children(keys, id, children, succeeded, now)
  for child in children:gmatch('%S+') do
    local line = redis.call('HGET', keys.state, child)
    local s = line and parse(line)
    if s and s.phase == 'B' and mark_of(s, 'a') == id then
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
  end
  redis.call('HDEL', keys.links, id)
end
