#!lua flags=no-writes
-- holdings: what some consumers hold by their claims.
--
-- KEYS[1] leases       ZSET     keys.leases
-- KEYS[2] batches      HASH     keys.batches
-- KEYS[3] state        HASH     keys.state
-- ARGV[1] place: how many leases to pass over
-- ARGV[2] most: how many leases to look at, at most 1,000
-- ARGV[3..] names of consumers, at most 1,000
--
-- Returns {place from which to go on (-1: that was all), then per message 3 values: id, token, name of its stream}.
-- Budget: 1,000 leases; 1,000 messages and the rest of one claim.
-- Moves:  nothing
-- Role:   worker
-- Safe to repeat: yes. Clock: none.
-- include: line, held
local MOST_WORDS = 3000
local place, most, wanted = tonumber(args.place), tonumber(args.most), {}
for at = args.more, #ARGV do wanted[ARGV[at]] = true end
local tokens = redis.call('ZRANGE', keys.leases, place, place + most - 1)
local reply = { #tokens == most and place + most or -1 }
for looked, token in ipairs(tokens) do
  if #reply > MOST_WORDS then
    reply[1] = place + looked - 1
    break
  end
  if wanted[token:match('^(.*)#%d+$')] then
    for id in (redis.call('HGET', keys.batches, token) or ''):gmatch(' (%S+)') do
      local line = redis.call('HGET', keys.state, id)
      if held_by(line, token .. ' ') then
        local n = #reply
        reply[n + 1], reply[n + 2], reply[n + 3] = id, token, parse(line).name
      end
    end
  end
end
return reply
