#!lua flags=no-writes
-- read: everything known of up to 100 messages.
--
-- KEYS[1] messages     HASH     keys.messages
-- KEYS[2] state        HASH     keys.state
-- KEYS[3] history      HASH     keys.history
-- KEYS[4] progress     HASH     keys.progress
-- KEYS[5] delayed      ZSET     keys.delayed
-- KEYS[6..] records    STRING   keys.record(id), one per message
-- ARGV[1..] ids, in the order of the records
--
-- Returns per message: {record} if finished, {} if unknown (or a tombstone), else
--         {"<enqueued ms> <envelope>", state line or "", history, progress, due ms or ""}.
-- Moves:  nothing
-- Safe to repeat: yes. Clock: none.
local messages, state, history, progress, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local reply = {}
for i, id in ipairs(ARGV) do
  local record = redis.call('GET', KEYS[5 + i])
  local version = record and string.sub(record, 1, 2)
  if version == '0 ' or version == '2 ' then
    reply[i] = {} -- revoked before it came, or forgotten by a clean-up
  elseif record then
    reply[i] = { record }
  else
    local message = redis.call('HGET', messages, id)
    if not message then
      reply[i] = {}
    else
      reply[i] = {
        message, redis.call('HGET', state, id) or '', redis.call('HGET', history, id) or '',
        redis.call('HGET', progress, id) or '', redis.call('ZSCORE', delayed, id) or '',
      }
    end
  end
end
return reply
