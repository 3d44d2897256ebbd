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
local MANY = 8
-- delete_entries(stream, entries): acknowledge and delete. XDEL walks to each entry past all others of its page; if every entry
-- up to the last one of many is acknowledged, XTRIM drops the same ones at once. What this group has not delivered stays:
-- it comes behind those that were pending.
local function delete_entries(stream, entries)
  local last = entries[#entries]
  if redis.call('XACK', stream, GROUP, unpack(entries)) == #entries and #entries >= MANY
    and #redis.call('XPENDING', stream, GROUP, '-', last, 1) == 0 then
    local ms, number = last:match('^(%d+)%-(%d+)$')
    -- Without the right to trim, or if the last one is not the highest, the others are deleted one by one.
    if redis.pcall('XTRIM', stream, 'MINID', string.format('%s-%.0f', ms, number + 1)) == #entries then return end
  end
  redis.call('XDEL', stream, unpack(entries))
end
-- write_left(): write what was noted of messages that have left.
local function write_left()
  for stream, entries in pairs(entries_of) do
    if #entries > 0 then delete_entries(stream, entries) end
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
