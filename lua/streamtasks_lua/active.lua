#!lua flags=no-writes
-- active: running attempts, the longest first.
--
-- KEYS[1] running      ZSET     keys.running
-- KEYS[2] state        HASH     keys.state
-- KEYS[3] messages     HASH     keys.messages
-- ARGV[1] most: how many at most, at most 100
--
-- Returns per attempt 4 values: id, started ms, consumer, "<enqueued ms> <envelope>".
-- Moves:  nothing
-- Safe to repeat: yes. Clock: none.
-- include: line
local found = redis.call('ZRANGE', keys.running, 0, tonumber(args.most) - 1, 'WITHSCORES')
local reply = {}
for at = 1, #found, 2 do
  local id = found[at]
  local line, message = redis.call('HGET', keys.state, id), redis.call('HGET', keys.messages, id)
  if line and message then
    local n = #reply
    reply[n + 1], reply[n + 2] = id, found[at + 1]
    reply[n + 3], reply[n + 4] = parse(line).token:gsub('#%d+$', ''), message
  end
end
return reply
