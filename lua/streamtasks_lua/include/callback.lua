-- An outcome that no child has seen: a message of our own has some child do what belongs to it (hooks, handlers).
-- Its id is made of the other's, so it is sent once; settled as CALLED it leaves no trace. None for such a message.
-- `attempt`: of that one, after which the message runs again; nil: of the message's end.
local function is_callback(id)
  return string.byte(id, 1) == 99 and string.find(id, '^cb%.%x+$') ~= nil and #id == 43
end
local function call_back(keys, stream, name, id, stamp, attempt)
  if is_callback(id) then return end
  local callback = 'cb.' .. redis.sha1hex(attempt and id .. ' ' .. attempt or id)
  local priority, queue = name:match('^(-?%d+):(.*)$')
  local body = string.format('%s{"v":1,"id":"%s","t":"streamtasks.callback","a":["%s"%s],"k":{},"q":"%s","p":%s}',
    stamp, callback, id, attempt and ',' .. attempt or '', queue, priority)
  if redis.call('HSETNX', keys.messages, callback, body) == 1 then
    append(keys.streams, stream, name, callback)
    make_ready(keys.ready, keys.wake, stream, name)
  end
end
-- The record of a message that was revoked; `token`: who had it, "-" if nobody.
local function revoked_record(now_text, token, first, started, attempts, body, reports)
  return string.format('1 %s REVOKED %s %s %s %s %d 0\n', now_text, token, first, started, attempts, #body)
    .. body .. reports
end
