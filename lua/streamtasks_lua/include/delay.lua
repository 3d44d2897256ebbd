-- Park a message until `due_ms`; whoever promotes is told when it is the next one due.
local function park(delayed, control, id, due_ms)
  redis.call('ZADD', delayed, int(due_ms), id)
  if redis.call('ZRANGE', delayed, 0, 0)[1] == id then
    redis.call('SPUBLISH', control, 'due ' .. int(due_ms))
  end
end
