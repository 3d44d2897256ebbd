#!lua flags=no-writes
-- dead_letters: look at messages that were given up on, newest first, or at some of them.
--
-- KEYS[1] dead         STREAM   keys.dead
-- ARGV[1] before: only those before this entry id; "+": from the newest
-- ARGV[2] most: how many at most, at most 100
-- ARGV[3] most_bytes: size of the reply; then it holds no more
-- ARGV[4..] entry ids: only those of these that are there, in this order; at most 100
--
-- Returns {1: there may be more, 0: that was all, then {entry id, {field, value, ...}} per dead letter}: fields reason, id, stream, message; or for bytes that
--         are no message reason "undecodable", stream, entry, data.
-- Budget: 100 dead letters, 512 KiB of them and one more.
-- Moves:  nothing
-- Role:   monitor
-- Safe to repeat: yes. Clock: none.
local reply, room = { 1 }, tonumber(args.most_bytes)
if #ARGV >= args.more then
  for at = args.more, #ARGV do
    if room <= 0 then return reply end
    local entry = redis.call('XRANGE', keys.dead, ARGV[at], ARGV[at])[1]
    if entry then
      reply[#reply + 1] = entry
      for _, value in ipairs(entry[2]) do room = room - #value end
    end
  end
  reply[1] = 0
  return reply
end
local before, step, largest, found = args.before == '+' and '+' or '(' .. args.before, 1, 1, 0
local most = tonumber(args.most)
while found < most and room > 0 do
  -- Each may be as large as a message may be: the first one alone, then as many as fit if they are like those before.
  local n = math.min(step, most - found, math.max(1, math.floor(room / largest)))
  local entries = redis.call('XREVRANGE', keys.dead, before, '-', 'COUNT', n)
  for _, entry in ipairs(entries) do
    if room <= 0 then return reply end
    local size = 0
    for _, value in ipairs(entry[2]) do size = size + #value end
    room, largest, found = room - size, math.max(largest, size), found + 1
    reply[found + 1], before = entry, '(' .. entry[1]
  end
  if #entries < n then
    reply[1] = 0
    break
  end
  step = math.min(step * 4, 16)
end
return reply
