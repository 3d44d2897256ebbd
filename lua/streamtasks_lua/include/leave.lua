-- leave: messages leave the hands of their holders.
--
-- Keys: running, progress, leases, batches, state.
-- include: group, held
-- running: ids of messages that leave and may have been running; the caller adds to it.
local running, entries_of, left_of = {}, {}, {}
-- entries_left(stream): the list of entries that go from the stream with that key; the caller adds to it.
local function entries_left(stream)
  local entries = entries_of[stream]
  if not entries then
    entries = {}
    entries_of[stream] = entries
  end
  return entries
end
-- leave(token, count): so many messages leave the hands of this token.
local function leave(token, count)
  left_of[token] = (left_of[token] or 0) + count
end
-- write_left(): write what was noted of messages that have left.
local function write_left()
  for stream, entries in pairs(entries_of) do
    if #entries > 0 then
      redis.call('XACK', stream, GROUP, unpack(entries))
      redis.call('XDEL', stream, unpack(entries))
    end
  end
  if #running > 0 then
    redis.call('ZREM', keys.running, unpack(running))
    redis.call('HDEL', keys.progress, unpack(running))
  end
end
-- release(token): end a claim whose messages have all left its hands; one that still holds a message keeps its lease.
-- Messages that have left count if their state lines say so by now. Returns whether it has ended.
local function release(token)
  local batch = redis.call('HGET', keys.batches, token)
  if batch then
    local size, ids = batch:match('^(%d+)(.*)$')
    if tonumber(size) > (left_of[token] or 0) then
      local prefix = token .. ' '
      for id in ids:gmatch('%S+') do
        if held_by(redis.call('HGET', keys.state, id), prefix) then return false end
      end
    end
    redis.call('HDEL', keys.batches, token)
  end
  redis.call('ZREM', keys.leases, token)
  return true
end
