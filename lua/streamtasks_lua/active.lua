#!lua flags=no-writes
-- active: running attempts, the longest first.
--
-- KEYS[1] running      ZSET     keys.running
-- KEYS[2] state        HASH     keys.state
-- KEYS[3] messages     HASH     keys.messages
-- ARGV[1] place: how many to pass over
-- ARGV[2] most: how many at most, at most 100
-- ARGV[3] most_bytes: size of the reply; then it holds no more
--
-- Returns {place from which to go on (-1: that was all), then per attempt 4 values: id, started ms, consumer,
--         "<enqueued ms> <envelope>"}.
-- Budget: 100 attempts, 512 KiB of their bodies and one more.
-- Moves:  nothing
-- Role:   monitor
-- Safe to repeat: yes. Clock: none.
-- include: line
local place, room = tonumber(args.place), tonumber(args.most_bytes)
local found = redis.call('ZRANGE', keys.running, place, place + args.most - 1, 'WITHSCORES')
local reply = { -1 }
for at = 1, #found, 2 do
  if room <= 0 then
    reply[1] = place + (at - 1) / 2
    break
  end
  local id = found[at]
  local line, message = redis.call('HGET', keys.state, id), redis.call('HGET', keys.messages, id)
  if line and message then
    local n = #reply
    reply[n + 1], reply[n + 2] = id, found[at + 1]
    reply[n + 3], reply[n + 4] = parse(line).token:gsub('#%d+$', ''), message
    room = room - #message
  end
end
return reply
