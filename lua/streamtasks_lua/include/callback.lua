-- callback: have a child do what belongs to an outcome that no child has seen (hooks, handlers).
--
-- Keys: messages, ready, streams, wake, paused, paused_ready.
-- include: clock, streams
-- call_back(name, id, attempt): append a callback message to this stream. Its id is made of the other's, so it is sent
-- once; settled as CALLED it leaves no trace. `attempt`: of that one, after which the message runs again; nil: of its end.
local function call_back(name, id, attempt)
  local callback = 'cb.' .. redis.sha1hex(attempt and id .. ' ' .. attempt or id)
  local priority, queue = name:match('^(-?%d+):(.*)$')
  local body = string.format('%.0f {"v":1,"id":"%s","t":"streamtasks.callback","a":["%s"%s],"k":{},"q":"%s","p":%s}',
    now, callback, id, attempt and ',' .. attempt or '', queue, priority)
  if redis.call('HSETNX', keys.messages, callback, body) == 1 then append(name, callback) end
end
